#include "engine/skel/suspects.h"

#include <algorithm>

namespace vskel {

namespace {

bool is_word_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

}  // namespace

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

std::string own_label(std::string_view host_name) {
  constexpr std::size_t kMostLabel = 63;
  // hostname(5): comment lines are skipped.
  while (host_name.starts_with('#') || host_name.starts_with('\n')) {
    const std::size_t end = host_name.starts_with('\n') ? 0 : host_name.find('\n');
    host_name.remove_prefix(end == host_name.npos ? host_name.size() : end + 1);
  }
  host_name = host_name.substr(0, host_name.find_first_of(" \t\r\n"));
  const std::string_view label = host_name.substr(0, host_name.find('.'));
  const bool is_label = !label.empty() && label.size() <= kMostLabel && std::ranges::all_of(label, is_word_character);
  return is_label && label != "localhost" ? std::string(label) : std::string();
}

bool names_host(std::string_view text, std::string_view label) {
  if (label.empty() || text.contains('\0')) return false;
  for (std::size_t at = text.find(label); at != text.npos; at = text.find(label, at + 1)) {
    const std::size_t end = at + label.size();
    const bool begins = at == 0 || !is_word_character(text[at - 1]);
    if (begins && (end == text.size() || !is_word_character(text[end]))) return true;
  }
  return false;
}

}  // namespace vskel
