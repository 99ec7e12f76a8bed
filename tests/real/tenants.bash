# The tenants of the year and what each did to his vserver before its first upgrade; sourced by tests/real/year.
#
# A tenant is a function tenant_NAME, called with the vserver's directory. What he made or changed, and nothing else may touch, he names with `keeps`; a
# vserver that may stay behind as a whole, because the tenant's packages are no longer the skel's, with `may_stay`.
# shellcheck shell=bash

# keeps PATH...: files of the tenant being set up that must stay as they are: contents, modes, owners by name.
keeps() { printf '%s\n' "$@" >>"$work/keeps.$tenant"; }
# says LINE...: what he told dpkg, as bookkeeping_of (checks.bash) has it, and what must be so after each upgrade.
says() { printf '%s\n' "$@" >>"$work/says.$tenant"; }
# may_stay: vservers with this tenant may be skipped whole.
may_stay() { : >"$work/may-stay.$tenant"; }
# makes_accounts: he has run adduser, which leaves backups.
makes_accounts() { : >"$work/made-accounts.$tenant"; }
inside_tenant() { "$here/enter" --bind "$root/lab:/mnt" "$1" "${@:2}" >>"$work/tenants.log" 2>&1; }

tenant_untouched() { :; }

# A system user of his own, who gets the number that the next daemon's user gets in the skel.
tenant_number() {
  makes_accounts
  inside_tenant "$1" adduser --system --group --home /srv/shop --shell /usr/sbin/nologin shop
  mkdir -p "$1/srv/shop"
  echo "the shop's" >"$1/srv/shop/secret"
  chmod 600 "$1/srv/shop/secret"
  inside_tenant "$1" chown -R shop:shop /srv/shop
  keeps /srv/shop/secret
}

# A user of the daemon's name, with another number; and a password of root's.
tenant_name() {
  makes_accounts
  inside_tenant "$1" groupadd --system --gid 450 redis
  inside_tenant "$1" useradd --system --uid 450 --gid 450 --no-create-home --home-dir /srv/redis --shell /bin/sh redis
  inside_tenant "$1" usermod --password '$6$lab$not.a.hash' root
  mkdir -p "$1/srv/redis"
  echo "of his own redis" >"$1/srv/redis/dump"
  chmod 640 "$1/srv/redis/dump"
  chown -R 450:450 "$1/srv/redis"
  keeps /srv/redis/dump
}

# Configuration edited, pages, a directory removed, the cron job that will be renamed edited.
tenant_editor() {
  printf '\n# edited by the tenant\nServerTokens Prod\n' >>"$1/etc/apache2/apache2.conf"
  sed -i 's/^#*PermitRootLogin.*/PermitRootLogin no/' "$1/etc/ssh/sshd_config"
  mkdir -p "$1/var/www/html/more"
  echo "$tenants_page" >"$1/var/www/html/index.html"
  echo more >"$1/var/www/html/more/page"
  rm -r "$1/usr/share/doc"
  sed -i 's/^0 5/30 5/' "$1/etc/cron.d/lab-old"
  keeps /etc/apache2/apache2.conf /etc/ssh/sshd_config /var/www/html/index.html /var/www/html/more/page /etc/cron.d/lab-old
  echo "$tenants_page" >"$work/page.$tenant"
}

# Tools and libraries of his own among the packages', some in directories that become links.
tenant_library() {
  local path
  for path in /bin/own-tool /lib/libown.so.1 /usr/lib/lab/becomes-link/own /usr/lib/lab/becomes-link/deep/own; do
    [ -d "$1${path%/*}" ] || continue
    printf '#!/bin/sh\necho own\n' >"$1$path"
    chmod 755 "$1$path"
    keeps "$path"
  done
}

# A database with data; its server runs again before every step (year, work_of_tenants). He has no accounts in it, so that the server wrote its logs and
# tablespaces, and not the table of accounts: what relink must not take from the skel by itself.
tenant_database() {
  run_database "$1" "CREATE DATABASE lab; CREATE TABLE lab.things (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20)) ENGINE=InnoDB;
    INSERT INTO lab.things (name) VALUES ('anvil'), ('bolt')"
  echo 'anvil bolt' >"$work/rows.$tenant"
}

tenant_alternative() {
  inside_tenant "$1" update-alternatives --set lab-editor /usr/bin/lab-editor-b
  inside_tenant "$1" dpkg-statoverride --add root root 0750 /usr/local/sbin/own
  inside_tenant "$1" dpkg-divert --local --no-rename --add /usr/share/own-diverted
  keeps /etc/alternatives/lab-editor
  says 'lab-editor manual /usr/bin/lab-editor-b' 'root root 750 /usr/local/sbin/own' /usr/share/own-diverted
}

tenant_hold() {
  inside_tenant "$1" apt-mark hold cron
  inside_tenant "$1" apt-mark auto apache2
  says 'hold cron' 'automatic apache2'
}

tenant_package() {
  inside_tenant "$1" dpkg -i /mnt/lab-own_1_all.deb
  keeps /usr/share/lab-own/file
  may_stay
}

tenant_tied() {
  inside_tenant "$1" dpkg -i /mnt/lab-tied_1_all.deb
  keeps /usr/share/lab-tied/file
  may_stay
}

# Directories that updates write to, removed; one of them emptied only.
tenant_remover() {
  rm -r "$1/usr/share/man" "$1/usr/share/bash-completion" "$1/etc/cron.daily"
  find "$1/usr/share/locale" -mindepth 1 -delete
}

# He does what the skel's administrator does, by himself, before each step (year, work_of_tenants).
tenant_upgrader() {
  makes_accounts
  may_stay
}
