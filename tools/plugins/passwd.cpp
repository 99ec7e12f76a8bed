// post-create-vs plugin: sets the root password of a new vserver in its own etc/shadow, without running anything inside it.
//
// The password comes from the file that VSKEL_ROOT_PASSWORD_FILE names (root's, readable by nobody else; its first line), else from
// VSKEL_ROOT_PASSWORD, else it is made at random and told once on descriptor 3, which vskel shows to the administrator and never logs. The administrator lets the variables through with
// `[plugins] env` in vskel.toml. The working directory is the vserver; a tenant may own all in it, so that nothing is followed.

#include <crypt.h>
#include <sys/random.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "engine/sys/kernel.h"

namespace vskel {

namespace {

constexpr std::size_t kMostShadow = 16 << 20, kMostPassword = 512, kRandomLength = 20;
constexpr int kToAdministrator = 3;

/// Text that is wiped when it goes.
struct Secret {
  std::string text;
  Secret() = default;
  explicit Secret(std::string from) : text(std::move(from)) {}
  Secret(Secret&&) = default;
  Secret& operator=(Secret&&) = default;
  ~Secret() { ::explicit_bzero(text.data(), text.size()); }
};

Result<Secret> from_file(const std::string& path) {
  const Fd file = TRY(sys::open_input(path));
  const sys::Stat stat = TRY(sys::stat(file));
  if (stat.type != sys::FileType::regular || stat.uid != 0 || (stat.mode & 077) != 0)
    return fail("read password", path, "must be a regular file of root's that nobody else can read");
  Secret secret(TRY(sys::read_whole(file, 64 * 1024)));
  if (const std::size_t newline = secret.text.find('\n'); newline != secret.text.npos) secret.text.resize(newline);
  return secret;
}

Result<Secret> at_random() {
  // 64 characters: every byte gives six bits without bias. None that is mistaken for another at a console.
  constexpr std::string_view kAlphabet = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789-+=@_.:";
  static_assert(kAlphabet.size() == 64);
  std::array<unsigned char, kRandomLength> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) return fail("make password", "getrandom", errno);
  Secret secret;
  secret.text.reserve(kRandomLength);
  for (const unsigned char byte : bytes) secret.text.push_back(kAlphabet[byte & 63]);
  ::explicit_bzero(bytes.data(), bytes.size());
  return secret;
}

void tell_administrator(const Secret& password) {
  const Secret line("root password: " + password.text + "\n");
  if (::write(kToAdministrator, line.text.data(), line.text.size()) < 0) std::perror("passwd: tell the password");
}

Result<Secret> choose_password() {
  if (const char* path = ::getenv("VSKEL_ROOT_PASSWORD_FILE")) return from_file(path);
  if (const char* given = ::getenv("VSKEL_ROOT_PASSWORD")) return Secret(given);
  Secret made = TRY(at_random());
  tell_administrator(made);
  return made;
}

Result<std::string> hash(const Secret& password) {
  if (password.text.empty() || password.text.size() > kMostPassword) return fail("set password", "", "the password is empty or longer than 512 bytes");
  const std::unique_ptr<char, void (*)(void*)> setting(::crypt_gensalt_ra("$y$", 0, nullptr, 0), std::free);
  if (setting == nullptr) return fail("make salt", "", errno);
  void* data = nullptr;
  int size = 0;
  const char* const hashed = ::crypt_ra(password.text.c_str(), setting.get(), &data, &size);
  std::string out = hashed != nullptr ? hashed : "";
  if (data != nullptr) ::explicit_bzero(data, static_cast<std::size_t>(size));
  std::free(data);
  if (out.empty() || out.front() == '*') return fail("hash password", "", errno);
  return out;
}

/// shadow(5) with root's password and day of change replaced; a line for root is added where there is none.
std::string with_root_password(std::string_view shadow, const std::string& hashed) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const std::string day = std::to_string(std::chrono::duration_cast<std::chrono::days>(now).count());
  std::string out;
  bool found = false;
  while (!shadow.empty()) {
    const std::string_view line = shadow.substr(0, shadow.find('\n'));
    shadow.remove_prefix(std::min(shadow.size(), line.size() + 1));
    if (!line.starts_with("root:")) {
      out.append(line).append("\n");
      continue;
    }
    found = true;
    std::size_t third = line.find(':', 5);
    if (third != line.npos) third = line.find(':', third + 1);
    out.append("root:").append(hashed).append(":").append(day).append(third == line.npos ? ":0:99999:7:::" : line.substr(third)).append("\n");
  }
  if (!found) out.insert(0, "root:" + hashed + ":" + day + ":0:99999:7:::\n");
  return out;
}

Result<> set_root_password() {
  const DirFd root = TRY(sys::open_root("."));
  const DirFd etc = TRY(sys::open_dir(root, "etc"));
  const Fd old = TRY(sys::open_file(etc, "shadow"));
  const sys::Stat stat = TRY(sys::stat(old));
  const std::string shadow = TRY(sys::read_whole(old, kMostShadow));
  const Secret password = TRY(choose_password());
  const std::string content = with_root_password(shadow, TRY(hash(password)));
  constexpr Name kNew = ".shadow.vskel-new";
  TRY(sys::unlink_if_there(etc, kNew));
  const Fd file = TRY(sys::create_file(etc, kNew, 0));
  TRY(sys::write_all(file, content));
  TRY(sys::set_owner(file, stat.uid, stat.gid));
  TRY(sys::set_mode(file, stat.mode));
  TRY(sys::sync_file(file));
  TRY(sys::rename_over(etc, kNew, etc, "shadow"));
  return sys::sync_file(etc);
}

}  // namespace

}  // namespace vskel

int main() {
  const auto done = vskel::set_root_password();
  if (done) return 0;
  std::fprintf(stderr, "passwd: %s\n", done.error().line().c_str());
  return 1;
}
