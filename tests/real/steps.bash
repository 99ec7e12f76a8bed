# The upgrades of the year, each done in a tree by the package manager; sourced by tests/real/year. A step is a function step_NAME, called with a tree:
# the merged skel, a copy of a vserver in which the same is done by hand, or the vserver of a tenant who does it himself.
# shellcheck shell=bash

# What users the steps made, each with something that belongs to it.
declare -A installed=()
# Whether the skel's database has the account that step security makes in it.
skel_has_admin=no

# apt TREE ARGUMENT...: apt-get in a tree, with the packages of the cache at hand; what else it needs comes from the network.
apt() {
  local tree=$1 made=''
  shift
  mkdir -p "$tree/var/cache/apt/archives" "$tree/var/lib/apt/lists" "$tree/mnt"
  if [ ! -e "$tree/usr/sbin/policy-rc.d" ]; then
    made=yes
    printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
    chmod 755 "$tree/usr/sbin/policy-rc.d"
  fi
  [ -e "$tree/etc/resolv.conf" ] || : >"$tree/etc/resolv.conf"
  local status=0
  "$here/enter" --net --bind "$work/debs:/var/cache/apt/archives" --bind "$work/lists:/var/lib/apt/lists" --bind "$root/lab:/mnt" \
    --bind /etc/resolv.conf:/etc/resolv.conf "$tree" \
    apt-get -q -y -o APT::Install-Recommends=false -o APT::Sandbox::User=root -o Dpkg::Options::=--force-unsafe-io -o Dpkg::Options::=--force-confold "$@" \
    >"$work/apt.log" 2>&1 </dev/null || status=$?
  [ -z "$made" ] || rm "$tree/usr/sbin/policy-rc.d"
  [ $status -eq 0 ] || tail -n 12 "$work/apt.log"
  return $status
}

# run_database TREE SQL: starts the database server in a tree, runs SQL in it, and stops the server.
run_database() {
  # shellcheck disable=SC2016
  "$here/enter" "$1" bash -c '
    mkdir -p /run/mysqld && chown mysql:mysql /run/mysqld
    mariadbd --user=mysql --skip-networking --log-error=/run/mariadb.log >/dev/null 2>&1 &
    server=$!
    for ((i = 0; i < 150; i++)); do mariadb-admin ping >/dev/null 2>&1 && break; sleep 0.1; done
    mariadb -e "$1" || { tail -n 5 /run/mariadb.log; status=1; }
    mariadb-admin shutdown >/dev/null 2>&1
    wait $server
    exit ${status:-0}' bash "$2" 2>&1
}

# A daemon that adds a user.
step_daemon() { apt "$1" install redis-server; }
made_by_daemon() { installed[redis]=/etc/redis/redis.conf; }

# The security updates of this day, the lab's second package, and an account in the skel's database.
step_security() {
  apt "$1" dist-upgrade && apt "$1" install /mnt/lab-tree_2_all.deb && run_database "$1" "CREATE USER 'skeladmin'@'localhost'"
}
made_by_security() {
  installed[labd]=/var/lib/labd
  skel_has_admin=yes
}

# A module of a server, with its configuration.
step_purge() { apt "$1" purge libapache2-mod-wsgi-py3; }

# /bin, /lib and /sbin become links into /usr.
step_usrmerge() {
  rm -f "$1/etc/unsupported-skip-usrmerge-conversion"
  apt "$1" install usrmerge && apt "$1" dist-upgrade
}

# The next release.
step_trixie() {
  sed -i 's/bookworm/trixie/g' "$1/etc/apt/sources.list"
  apt "$1" update && apt "$1" dist-upgrade || return
  cp -n "$work"/debs/*.deb "$root/debs/"  # for the next run: it is some hundred megabytes
}
