# Debian packages of the lab's own, for what no upgrade of a given day is sure to bring; sourced by tests/real/make_root.
#
#   lab-base    1: has a program that lab-tree 2 diverts
#   lab-tree    1 -> 2: a directory becomes a link to one (dir_to_symlink), a link becomes a directory, a cron job is renamed (mv_conffile), a conffile is dropped,
#               a file goes, two names of one inode become two files of equal bytes and two files one inode, a Python module comes with the same bytes and another
#               time; made are a user (who joins a group that was there), a dpkg-statoverride, an alternative, a diversion, a trigger, a private key
#   lab-extra   1: any other package, installed to see whether that works
#   lab-own     1: a tenant's own package, which goes with every version;  lab-tied 1: one that goes with lab-tree 1 alone
# shellcheck shell=bash

# control PACKAGE VERSION DIRECTORY [FIELD]...: makes DIRECTORY/DEBIAN/control.
control() {
  local package=$1 version=$2 directory=$3
  shift 3
  mkdir -p "$directory/DEBIAN"
  {
    printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: nobody <nobody@example.com>\nDescription: made by a test\n' "$package" "$version"
    [ $# -eq 0 ] || printf '%s\n' "$@"
  } >"$directory/DEBIAN/control"
}

# script DIRECTORY NAME: a maintainer's script, from standard input.
script() {
  { printf '#!/bin/sh\nset -e\n' && cat; } >"$1/DEBIAN/$2"
  chmod 755 "$1/DEBIAN/$2"
}

# put FILE: a file with what standard input gives, and a time long ago; directories too.
put() {
  mkdir -p "${1%/*}"
  cat >"$1"
  touch -d "${2:-2024-01-01 00:00:00 UTC}" "$1"
}

lab_tree_files() {
  local root=$1
  printf 'VALUE = 1\n' | put "$root/usr/lib/python3/dist-packages/lab_module.py" "$2"
  printf '#!/bin/sh\necho a\n' | put "$root/usr/bin/lab-editor-a"
  printf '#!/bin/sh\necho b\n' | put "$root/usr/bin/lab-editor-b"
  chmod 755 "$root"/usr/bin/lab-editor-?
  printf 'setting = %s\n' "$3" | put "$root/etc/lab/lab.conf"
}

make_lab_base_1() {
  control lab-base 1 "$1"
  printf '#!/bin/sh\necho of the base\n' | put "$1/usr/bin/lab-diverted"
  chmod 755 "$1/usr/bin/lab-diverted"
}

make_lab_tree_1() {
  local root=$1
  control lab-tree 1 "$root" 'Depends: python3, adduser'
  lab_tree_files "$root" '2024-01-01 00:00:00 UTC' 1
  printf 'first\n' | put "$root/usr/lib/lab/becomes-link/one"
  printf 'second\n' | put "$root/usr/lib/lab/becomes-link/deep/two"
  printf 'target\n' | put "$root/usr/lib/lab/target/three"
  ln -s target "$root/usr/lib/lab/becomes-directory"
  printf 'gone\n' | put "$root/usr/lib/lab/gone"
  printf '0 5 * * * root /bin/true\n' | put "$root/etc/cron.d/lab-old"
  printf 'dropped = yes\n' | put "$root/etc/lab/dropped.conf"
  printf '/etc/cron.d/lab-old\n/etc/lab/lab.conf\n/etc/lab/dropped.conf\n' >"$root/DEBIAN/conffiles"
  printf 'one inode\n' | put "$root/usr/lib/lab/pair/a"
  ln "$root/usr/lib/lab/pair/a" "$root/usr/lib/lab/pair/b"
  printf 'two inodes\n' | put "$root/usr/lib/lab/pair/c"
  printf 'two inodes\n' | put "$root/usr/lib/lab/pair/d"
  script "$root" postinst <<'S'
update-alternatives --install /usr/bin/lab-editor lab-editor /usr/bin/lab-editor-a 20
update-alternatives --install /usr/bin/lab-editor lab-editor /usr/bin/lab-editor-b 10
py3compile -p lab-tree
S
}

make_lab_tree_2() {
  local root=$1 helper
  control lab-tree 2 "$root" 'Depends: python3, adduser'
  lab_tree_files "$root" '2025-02-02 00:00:00 UTC' 2
  printf 'first\n' | put "$root/usr/share/lab/one"
  printf 'second, changed\n' | put "$root/usr/share/lab/deep/two"
  printf 'target\n' | put "$root/usr/lib/lab/target/three"
  ln -s ../../share/lab "$root/usr/lib/lab/becomes-link"
  printf 'of its own\n' | put "$root/usr/lib/lab/becomes-directory/four"
  printf '0 6 * * * root /bin/true\n' | put "$root/etc/cron.d/lab-new"
  printf '#!/bin/sh\necho c\n' | put "$root/usr/bin/lab-editor-c"
  chmod 755 "$root/usr/bin/lab-editor-c"
  printf '/etc/cron.d/lab-new\n/etc/lab/lab.conf\n' >"$root/DEBIAN/conffiles"
  printf 'one inode\n' | put "$root/usr/lib/lab/pair/a"
  printf 'one inode\n' | put "$root/usr/lib/lab/pair/b"
  printf 'two inodes\n' | put "$root/usr/lib/lab/pair/c"
  ln "$root/usr/lib/lab/pair/c" "$root/usr/lib/lab/pair/d"
  printf '#!/bin/sh\necho of the tree\n' | put "$root/usr/bin/lab-diverted"
  chmod 755 "$root/usr/bin/lab-diverted"
  printf 'interest-noawait /usr/share/lab-extra\n' >"$root/DEBIAN/triggers"
  for helper in preinst postinst postrm; do
    script "$root" "$helper" <<'S'
dpkg-maintscript-helper dir_to_symlink /usr/lib/lab/becomes-link ../../share/lab 2~ -- "$@"
dpkg-maintscript-helper symlink_to_dir /usr/lib/lab/becomes-directory target 2~ -- "$@"
dpkg-maintscript-helper mv_conffile /etc/cron.d/lab-old /etc/cron.d/lab-new 2~ -- "$@"
dpkg-maintscript-helper rm_conffile /etc/lab/dropped.conf 2~ -- "$@"
S
  done
  cat >>"$root/DEBIAN/preinst" <<'S'
dpkg-divert --quiet --package lab-tree --add --rename --divert /usr/bin/lab-diverted.base /usr/bin/lab-diverted
S
  cat >>"$root/DEBIAN/postinst" <<'S'
update-alternatives --install /usr/bin/lab-editor lab-editor /usr/bin/lab-editor-a 20
update-alternatives --install /usr/bin/lab-editor lab-editor /usr/bin/lab-editor-b 10
update-alternatives --install /usr/bin/lab-editor lab-editor /usr/bin/lab-editor-c 30
py3compile -p lab-tree
adduser --quiet --system --group --home /var/lib/labd --shell /usr/sbin/nologin labd
adduser --quiet labd adm
mkdir -p /var/lib/labd
dpkg-statoverride --list /var/lib/labd >/dev/null || dpkg-statoverride --update --add labd labd 750 /var/lib/labd
umask 077
[ -e /etc/lab/key.pem ] || openssl genpkey -algorithm ed25519 -out /etc/lab/key.pem
S
}

make_lab_extra_1() {
  control lab-extra 1 "$1"
  printf 'extra\n' | put "$1/usr/share/lab-extra/file"
}

make_lab_own_1() {
  control lab-own 1 "$1" 'Depends: lab-tree (>= 1)'
  printf "the tenant's own\n" | put "$1/usr/share/lab-own/file"
}

make_lab_tied_1() {
  control lab-tied 1 "$1" 'Depends: lab-tree (<< 2)'
  printf "the tenant's own\n" | put "$1/usr/share/lab-tied/file"
}

# make_packages DIRECTORY: all of them, as DIRECTORY/NAME_VERSION_all.deb.
make_packages() {
  local into=$1 package work
  for package in lab-base_1 lab-tree_1 lab-tree_2 lab-extra_1 lab-own_1 lab-tied_1; do
    work=$(mktemp -d)
    chmod 755 "$work"
    "make_$(tr - _ <<<"$package")" "$work"
    dpkg-deb --root-owner-group -Zgzip -b "$work" "$into/${package}_all.deb" >/dev/null
    rm -r "$work"
  done
}
