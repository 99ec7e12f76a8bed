# The packages of rpm_cycle: a hundred, made by rpmbuild in two versions, and what updates of real distributions do to a
# root among them. Nothing of them runs a program: their scripts are Lua, inside rpm.

# Makes repository $1/first with version 1, $1/second with both, and $1/late with what is installed by rpm alone.
make_packages() {
  local work=$1 version
  mkdir -p "$work"/{first,second,late,build}
  for version in 1 2; do
    write_spec "$version" >"$work/fleet-$version.spec"
    rpmbuild --quiet -bb --define "_topdir $work/build" "$work/fleet-$version.spec" >"$work/rpmbuild.log" 2>&1 ||
      fail "rpmbuild: $(tail -5 "$work/rpmbuild.log")"
  done
  mv "$work"/build/RPMS/noarch/late-* "$work/late/"
  cp "$work"/build/RPMS/noarch/*-1-1.noarch.rpm "$work/first/"
  cp "$work"/build/RPMS/noarch/*.rpm "$work/second/"
  createrepo_c -q "$work/first"
  createrepo_c -q "$work/second"
}

# Every even package brings its bytes again with another time, every odd one others.
write_spec() {
  local version=$1 number
  cat <<END
%global debug_package %{nil}
%global __os_install_post %{nil}
%global _build_id_links none
%define stamp 2026-0$version-0${version}T10:20:30Z
Name: fleet
Version: $version
Release: 1
Summary: Packages to upgrade
License: GPL
BuildArch: noarch
AutoReqProv: no
%description
Nothing by itself.

%package -n filesystem
Summary: The root's directories, and the way to the database
%description -n filesystem
As distributions have it.
%files -n filesystem
%dir /etc
%dir /usr
%dir /usr/bin
%dir /usr/lib
%dir /usr/share
%dir /var
%dir /var/lib
/bin
/lib
/sbin
/var/lib/rpm
%config(noreplace) %verify(not md5 size mtime) /etc/passwd
%config(noreplace) %verify(not md5 size mtime) /etc/group

%package -n settings
Summary: Configuration, a file of nobody's, set-id, hard links
Requires: filesystem
%description -n settings
Kept and replaced.
%files -n settings
%dir /etc/settings
%config /etc/settings/replaced.conf
%config(noreplace) /etc/settings/kept.conf
%config(noreplace) /etc/settings/quiet.conf
%ghost /var/lib/settings.state
%attr(4755,root,root) /usr/bin/settings-su
/usr/bin/settings-a
/usr/bin/settings-b

%package -n turned
Summary: A directory that becomes a link
Requires: filesystem
%description -n turned
With version 2.
%pretrans -n turned -p <lua>
local path = "/usr/share/turned"
local stat = posix.stat(path)
if stat and stat.type == "directory" then os.rename(path, path .. ".rpmmoved") end
%files -n turned
/usr/share/turned
$([ "$version" = 1 ] || echo /usr/share/turned-$version)

%package -n accounted
Summary: A user made before its files
Requires: filesystem
%description -n accounted
Owns a file.
%pre -n accounted -p <lua>
$(add_user accounted 480)
%files -n accounted
%attr(0750,accounted,accounted) %dir /usr/share/accounted
%attr(0640,accounted,accounted) /usr/share/accounted/file

%package -n late
Summary: Comes later
Requires: filesystem
%description -n late
By rpm, without dnf.
%files -n late
/usr/share/late
END
  for number in $(numbers); do
    cat <<END

%package -n fill$number
Summary: One of many
Requires: filesystem
%description -n fill$number
Fills.
%files -n fill$number
/usr/lib/fill$number
END
  done
  cat <<END

%install
cd %{buildroot}
mkdir -p etc/settings usr/bin usr/lib usr/share var/lib
ln -s usr/bin bin; ln -s usr/bin sbin; ln -s usr/lib lib
ln -s ../../usr/lib/sysimage/rpm var/lib/rpm
echo root:x:0:0:root:/root:/bin/sh >etc/passwd
echo root:x:0: >etc/group
for name in replaced kept quiet; do echo "version = $version" >etc/settings/\$name.conf; done
echo same >etc/settings/quiet.conf
echo "su $version" >usr/bin/settings-su
echo "twice $version" >usr/bin/settings-a
ln usr/bin/settings-a usr/bin/settings-b
if [ $version = 1 ]; then
  mkdir usr/share/turned && echo old >usr/share/turned/file
else
  mkdir usr/share/turned-$version && echo new >usr/share/turned-$version/file && ln -s turned-$version usr/share/turned
fi
mkdir usr/share/accounted && echo "accounted $version" >usr/share/accounted/file
echo late >usr/share/late
for number in $(numbers | tr '\n' ' '); do
  mkdir usr/lib/fill\$number
  seq 1 2000 >usr/lib/fill\$number/data
  case \$number in *[13579]) echo "version $version" >>usr/lib/fill\$number/data ;; esac
  ln -s data usr/lib/fill\$number/link
  if [ \$number = 20 ]; then echo "only $version" >usr/lib/fill20/only-$version; fi
done
find . -exec touch -h -d %{stamp} {} +
END
}

numbers() { seq -w 1 94; }

# Lua that adds a user, if there is none of that name, as useradd would.
add_user() {
  cat <<END
local function add(path, line)
  for known in io.lines(path) do if known:match("^$1:") then return end end
  local file = io.open(path, "a")
  file:write(line, "\n")
  file:close()
end
add("/etc/passwd", "$1:x:$2:$2::/:/sbin/nologin")
add("/etc/group", "$1:x:$2:")
END
}
