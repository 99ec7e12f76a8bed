# What is looked at in every vserver after an upgrade; sourced by tests/real/year.
# shellcheck shell=bash

# differing FILE FILE: lines that one has and the other has not.
differing() { diff "$1" "$2" | grep '^[<>]' || true; }

# owner_of TREE PATH: its owner by the tree's own names.
owner_of() {
  local uid gid user group
  read -r uid gid < <(stat -c '%u %g' "$1$2")
  user=$(awk -F: -v n="$uid" '$3 == n { print $1; exit }' "$1/etc/passwd")
  group=$(awk -F: -v n="$gid" '$3 == n { print $1; exit }' "$1/etc/group")
  printf '%s:%s' "${user:-$uid}" "${group:-$gid}"
}

# state_of TREE PATH: content or target, mode, owner.
state_of() {
  local content
  if [ -L "$1$2" ]; then content=$(readlink "$1$2"); else content=$(sha256sum <"$1$2" | cut -c 1-16); fi
  printf '%s %s %s' "$content" "$(stat -c %a "$1$2")" "$(owner_of "$1" "$2")"
}

# remember_kept TENANT: what the tenant's own files are, each where it really is: a directory on the way to it may have become a link, and be one again.
remember_kept() {
  [ -e "$work/keeps.$1" ] || return 0
  local path directory
  while IFS= read -r path; do
    directory=$(realpath "$vservers/$1${path%/*}")
    path=${directory#"$vservers/$1"}/${path##*/}
    printf '%s %s\n' "$path" "$(state_of "$vservers/$1" "$path")"
  done <"$work/keeps.$1" >"$work/kept.$1"
}

kept_is_kept() {
  local path state now
  while read -r path state; do
    if [ ! -e "$vservers/$1$path" ] && [ ! -L "$vservers/$1$path" ]; then
      echo "$path is gone"
      continue
    fi
    now=$(state_of "$vservers/$1" "$path")
    [ "$now" = "$state" ] || echo "$path: $now in place of $state"
  done <"$work/kept.$1"
}

# bookkeeping_of TREE: holds, overrides, diversions, alternatives, what apt installed by itself; a line each.
bookkeeping_of() {
  local database=$1/var/lib/dpkg
  dpkg-query --admindir="$database" -W -f '${db:Status-Want} ${Package}\n' | grep -v '^install ' || true
  cat "$database/statoverride" "$database/diversions"
  printf 'lab-editor %s %s\n' "$(head -n 1 "$database/alternatives/lab-editor")" "$(readlink "$1/etc/alternatives/lab-editor")"
  awk '/^Package: / { name = $2 } /^Auto-Installed: 1/ { print "automatic", name }' "$1/var/lib/apt/extended_states"
}
said_is_said() { comm -23 <(sort "$work/says.$1") <(bookkeeping_of "$vservers/$1" | sort); }

# new_links TENANT: links that lead nowhere, and did not before, nor do where the same was done by hand; logs are in no skel, and a link among them his own.
new_links() {
  "$here/inspect" links "$vservers/$1" | grep -vxFf "$work/links.$1" | grep -vxFf "$work/links.hand" | grep -v '^/var/log/' || true
}

packages_of() { dpkg-query --admindir="$1/var/lib/dpkg" -W -f '${Package} ${Version} ${db:Status-Status}\n' | grep -v -e '^lab-own ' -e '^lab-tied '; }
# same_packages TENANT STEP: the same as by hand, or after a rollback as at first.
same_packages() { differing "$work/packages.$([ "$2" = rollback ] && echo first || echo hand)" <(packages_of "$vservers/$1"); }

# dpkg_verify TREE: what dpkg says of the files of packages.
dpkg_verify() { "$here/enter" --scratch "$1" dpkg --verify 2>&1 || true; }
# What dpkg --verify says of a vserver and not of the copy by hand, but for what the tenant keeps, removed or edited.
verify_as_by_hand() {
  local pattern
  pattern=$(tenants_own "$1")
  dpkg_verify "$vservers/$1" >"$work/verify"
  grep -vxFf "$work/verify.hand" "$work/verify" >"$work/verify.new" || true
  grep -vE " /($pattern)\$" "$work/verify.new" || true
}
# tenants_own TENANT: an expression for what the tenant keeps, removed or edited of what packages own.
tenants_own() {
  local kept=''
  [ ! -e "$work/keeps.$1" ] || kept=$(sed 's,^/,,' "$work/keeps.$1" | paste -sd '|')
  case $1 in
    editor) echo "$kept|usr/share/doc(/.*)?" ;;
    remover) echo "(usr/share/man|usr/share/bash-completion|usr/share/locale|etc/cron.daily)(/.*)?" ;;
    *) echo "${kept:-nothing}" ;;
  esac
}

# packages_as_by_hand TENANT STEP: what packages own, as after the same by hand but for what is the tenant's.
packages_as_by_hand() { "$here/inspect" packages "$vservers/$1" "$work/$([ "$2" = rollback ] && echo first || echo hand)" "$since" "$(tenants_own "$1")"; }

# as_by_hand TENANT STEP: what an untouched one differs in from the copy by hand; after a rollback from what it was at first, but for the accounts of
# what was installed meanwhile, which stay, as they do when packages are removed, and the time of /etc/ssh, which holds more than the skel's.
as_by_hand() {
  if [ "$2" = rollback ]; then
    "$here/inspect" hand "$vservers/$1" "$work/first" "$since" "$work/list.$1" 'etc/(passwd|shadow|group|gshadow|ssh)'
  else
    "$here/inspect" hand "$vservers/$1" "$work/hand" "$since" "$work/list.$1"
  fi
}

status_of() { "$here/inspect" status "$work/relink.json" "$1"; }

# Runs tests/real/inside in a vserver.
servers_of() {
  local name=$1 page=- rows=- admin=-
  [ ! -e "$work/page.$name" ] || page=$(cat "$work/page.$name")
  [ ! -e "$work/rows.$name" ] || rows=$(cat "$work/rows.$name")
  case $name in
    database) admin=no ;;
    untouched) [ "$2" = rollback ] && admin=no || admin=$skel_has_admin ;;
  esac
  "$here/enter" --scratch --bind "$root/lab:/mnt" "$vservers/$name" bash -s -- "$page" "$rows" "$admin" <"$work/inside" >"$work/inside.out" 2>&1 ||
    fail "$name: tests/real/inside came to an end with status $?"
  counted "$work/inside.out" "$name"
}

# has_accounts TENANT: the users of what has been installed.
has_accounts() {
  local user
  for user in "${!installed[@]}"; do
    grep -q "^$user:" "$vservers/$1/etc/passwd" || echo "no user $user"
    grep -q "^$user:" "$vservers/$1/etc/group" || echo "no group $user"
    grep -q "^$user:[!*]" "$vservers/$1/etc/shadow" || echo "no locked shadow entry of $user"
    [ "$(owner_of "$vservers/$1" "${installed[$user]}")" = "$user:$user" ] || echo "${installed[$user]} belongs to $(owner_of "$vservers/$1" "${installed[$user]}")"
  done
}

# What systemd makes anew at boot goes by the time of /usr (ConditionNeedsUpdate).
newer_than_updated() {
  local file
  for file in etc/.updated var/.updated; do
    [ "$vservers/$1/usr" -nt "$vservers/$1/$file" ] || echo "/usr ($(stat -c %y "$vservers/$1/usr")) is not newer than /$file ($(stat -c %y "$vservers/$1/$file"))"
  done
}

# remember_accounts TENANT: who is there, with which numbers and passwords.
accounts_of() { (cut -d: -f1,3,4 "$1/etc/passwd"; cut -d: -f1,3 "$1/etc/group" | sed 's/^/group /'; cut -d: -f1,2 "$1/etc/shadow" | sed 's/^/shadow /') | sort; }
remember_accounts() { accounts_of "$vservers/$1" >"$work/accounts.$1"; }
accounts_stay() { accounts_of "$vservers/$1" | comm -23 "$work/accounts.$1" -; }

check_vserver() {
  local name=$1 step=$2 status
  status=$(status_of "$name")
  case $status in
    done)
      check "$name: the skel's packages" same_packages "$name" "$step"
      [ "$name" = untouched ] || check "$name: files of packages as by hand" packages_as_by_hand "$name" "$step"
      [ ! -e "$vservers/$name/etc/.updated" ] || check "$name: /usr is newer than what goes by it" newer_than_updated "$name"
      [ "$step" = rollback ] || check "$name: has the accounts of what was installed" has_accounts "$name"
      ;;
    skipped)
      [ -e "$work/may-stay.$name" ] || fail "$name: was skipped: $("$here/inspect" error "$work/relink.json" "$name")"
      check "$name: skipped, it is as it was" differing "$work/list.$name" "$work/list.$name.after"
      ;;
    *) fail "$name: relink says \"$status\"" ;;
  esac
  check "$name: accounts that were there are as they were" accounts_stay "$name"
  check "$name: dpkg --verify as by hand" verify_as_by_hand "$name"
  check "$name: no new link leads nowhere" new_links "$name"
  check "$name: no stale bytecode" "$here/inspect" bytecode "$vservers/$name"
  [ ! -e "$work/kept.$name" ] || check "$name: what is the tenant's is as he left it" kept_is_kept "$name"
  [ ! -e "$work/says.$name" ] || check "$name: what he told dpkg and apt is so still" said_is_said "$name"
  servers_of "$name" "$step"
}

# check_own_secrets: what must be one vserver's own.
check_own_secrets() {
  check "no vserver has backups of account files" account_backups
  check "every vserver bears its own name" own_names
  check "no vserver has a private key of the skel's" find "${tenants[@]/#/$vservers/}" -path '*/etc/lab/key.pem' ! -path "$vservers/upgrader/*"
  [ "$archive" = servers ] || return 0
  check "SSH host keys are each vserver's own" twice etc/ssh/ssh_host_ed25519_key
  check "the snakeoil key is each vserver's own" twice etc/ssl/private/ssl-cert-snakeoil.key
}
# Those who made accounts themselves have made them.
account_backups() {
  local name
  for name in "${tenants[@]}"; do
    [ -e "$work/made-accounts.$name" ] || (cd "$vservers" && find "$name/etc" -maxdepth 1 \( -name 'passwd-' -o -name '*shadow-' -o -name 'group-' \))
  done
}
own_names() {
  local name
  for name in "${tenants[@]}"; do own_name "$name" | sed "s/^/$name: /"; done
}
own_name() {
  local file
  [ "$(cat "$vservers/$1/etc/hostname")" = "$1" ] || echo "/etc/hostname: $(cat "$vservers/$1/etc/hostname")"
  for file in etc/hostname etc/mailname etc/postfix/main.cf etc/hosts; do
    grep -H -e builder.example.org -e '%%VS' "$vservers/$1/$file" 2>/dev/null | sed "s,^$vservers/$1,,"
  done
  true
}
# twice PATH: vservers that have the same bytes at PATH, or nothing.
twice() {
  local name
  for name in "${tenants[@]}"; do [ -s "$vservers/$name/$1" ] || echo "$name has none"; done
  (cd "$vservers" && for name in "${tenants[@]}"; do [ ! -e "$name/$1" ] || sha256sum "$name/$1"; done) | awk 'seen[$1]++ { print $2 " is another one'\''s, too" }'
}

# A vserver made now has all that the skel has.
check_new_vserver() {
  must create create-vs debian new new.example.com 192.0.2.200 --share "$share" --seal none || return
  check "new: no stale bytecode" "$here/inspect" bytecode "$vservers/new"
  servers_of new "$1"
  must remove remove-vs new --yes
}

check_all() {
  local name
  dpkg_verify "$work/hand" >"$work/verify.hand"
  packages_of "$work/hand" >"$work/packages.hand"
  "$here/inspect" links "$work/hand" >"$work/links.hand"
  check "untouched: as by hand, entry by entry" as_by_hand untouched "$1"
  for name in "${tenants[@]}"; do check_vserver "$name" "$1"; done
  check_own_secrets
  [ "$1" = rollback ] || check_new_vserver "$1"
}
