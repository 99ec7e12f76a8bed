# Sourced: where this machine's apt has packages from.

# archive NAME: the address of archive "debian" or "debian-security", without a slash at its end; nothing where apt has no such. (A caller may have pointed
# APT_CONFIG at lists of its own.)
archive() {
  # shellcheck disable=SC2016 # apt's words, not the shell's
  env -u APT_CONFIG apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | sed -n -E "s,^(https?://.*/$1)/?\$,\1,p" | sed -n 1p
}
