#include "engine/skel/suspects.h"

namespace vskel {

std::optional<std::string_view> reason_to_look(const ManifestEntry& entry) {
  if (entry.type != sys::FileType::regular || entry.size == 0) return std::nullopt;
  const std::string_view path = entry.path;
  const std::string_view name = path.substr(path.rfind('/') + 1);
  if (path.starts_with("etc/ssh/ssh_host_") && !name.ends_with(".pub"))
    return "SSH host key, the same in every vserver";
  if (path == "etc/machine-id" || path == "var/lib/dbus/machine-id") return "machine id, the same in every vserver";
  if (name.ends_with("_history") && name.starts_with('.')) return "history of a shell or client";
  if (name == "authorized_keys" || name.starts_with("id_rsa") || name.starts_with("id_ed25519") ||
      name.starts_with("id_ecdsa"))
    return "SSH key";
  if (path.starts_with("etc/ssl/private/")) return "private key";
  if (path.starts_with("var/log/")) return "log file";
  if (path == "var/lib/systemd/random-seed") return "random seed, the same in every vserver";
  if (path.starts_with("etc/krb5.keytab")) return "Kerberos key";
  for (const std::string_view cache : {"var/cache/apt/", "var/lib/apt/lists/", "var/cache/dnf/", "var/cache/yum/",
                                       "var/cache/apk/", "var/cache/pacman/pkg/", "var/cache/zypp/"})
    if (path.starts_with(cache)) return "package cache";
  for (const std::string_view leftover : {".dpkg-new", ".dpkg-old", ".dpkg-dist", ".rpmnew", ".rpmsave", ".rpmorig"})
    if (name.ends_with(leftover)) return "left by a package manager";
  return std::nullopt;
}

std::vector<std::string> accounts_with_password(std::string_view shadow) {
  std::vector<std::string> out;
  while (!shadow.empty()) {
    const std::string_view line = shadow.substr(0, shadow.find('\n'));
    shadow.remove_prefix(std::min(shadow.size(), line.size() + 1));
    const std::size_t first = line.find(':');
    if (first == line.npos) continue;
    const std::string_view hash = line.substr(first + 1, line.find(':', first + 1) - first - 1);
    // shadow(5): "!" and "*" can't be the result of crypt(3); an empty field is a login without password.
    if (!hash.starts_with('!') && !hash.starts_with('*')) out.emplace_back(line.substr(0, first));
  }
  return out;
}

}  // namespace vskel
