// post-create-vs plugin: sets the root password of a new vserver in its own etc/shadow, without running anything
// inside.
//
// The password comes from the file that VSKEL_ROOT_PASSWORD_FILE names (an absolute path; root's, readable by nobody
// else; its first line), else from VSKEL_ROOT_PASSWORD, else it is made at random and told once on descriptor 3, which
// vskel shows to the administrator and never logs. `[plugins] env` in vskel.toml lets the variables through.
//
// The working directory is the vserver. A tenant may own all in it, so names are opened one by one and nothing is
// followed. The new shadow file appears by a rename, whole.

#include <crypt.h>
#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/sys/kernel.h"

namespace vskel {

namespace {

constexpr std::size_t kMostAccounts = 16 << 20, kMostPassword = 512, kRandomLength = 20;
constexpr int kToAdministrator = 3;
constexpr Name kNew = ".shadow.vskel-new";

/// Text that is wiped when it goes. Never in the small buffer inside a std::string, of which a move leaves a copy.
class Secret {
 public:
  Secret() { text_.reserve(2 * kMostPassword); }
  Secret(Secret&&) = default;
  Secret& operator=(Secret&&) = delete;
  ~Secret() {
    text_.resize(text_.capacity());
    ::explicit_bzero(text_.data(), text_.size());
  }
  /// At most the room that is reserved: a larger string would move, and leave the old bytes behind.
  Secret& add(std::string_view text) {
    text_.append(text.substr(0, std::min(text.size(), text_.capacity() - text_.size())));
    return *this;
  }
  [[nodiscard]] std::string_view view() const { return text_; }
  [[nodiscard]] const char* c_str() const { return text_.c_str(); }

 private:
  std::string text_;
};

std::unexpected<Error> wrong(std::string path, std::string reason) {
  return fail("set root password", std::move(path), std::move(reason));
}

Result<Secret> from_file(const std::string& path) {
  // A relative path would be one inside the vserver.
  if (!path.starts_with('/')) return wrong(path, "VSKEL_ROOT_PASSWORD_FILE must be an absolute path");
  const Fd file = TRY(sys::open_input(path));
  const sys::Stat stat = TRY(sys::stat(file));
  if (stat.type != sys::FileType::regular || stat.uid != 0 || (stat.mode & 077) != 0)
    return wrong(path, "must be a regular file of root's that nobody else can read");
  std::array<char, 2 * kMostPassword> bytes{};
  const std::size_t size = TRY(sys::read_at(file, std::as_writable_bytes(std::span(bytes)), 0));
  std::string_view line(bytes.data(), size);
  line = line.substr(0, line.find('\n'));
  if (line.ends_with('\r')) line.remove_suffix(1);
  Secret secret;
  secret.add(line);
  ::explicit_bzero(bytes.data(), bytes.size());
  return secret;
}

Secret from_environment(char* value) {
  Secret secret;
  secret.add(value);
  ::explicit_bzero(value, std::strlen(value));  // else /proc/PID/environ keeps it
  return secret;
}

Result<Secret> at_random() {
  // 64 characters: every byte gives six bits without bias. None that is mistaken for another at a console.
  constexpr std::string_view kAlphabet = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789-+=@_.:";
  static_assert(kAlphabet.size() == 64);
  std::array<unsigned char, kRandomLength> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return fail("make password", "getrandom", errno);
  Secret secret;
  for (const unsigned char byte : bytes) secret.add(kAlphabet.substr(byte & 63U, 1));
  ::explicit_bzero(bytes.data(), bytes.size());
  return secret;
}

Result<std::string> hash(const Secret& password) {
  const std::string_view text = password.view();
  if (text.empty()) return wrong("", "the password is empty");
  if (text.size() > kMostPassword) return wrong("", "the password is longer than 512 bytes");
  if (text.find('\0') != text.npos) return wrong("", "the password has a zero byte in it");
  const std::unique_ptr<char, void (*)(void*)> setting(::crypt_gensalt_ra("$y$", 0, nullptr, 0), std::free);
  if (setting == nullptr) return fail("make salt", "", errno);
  void* data = nullptr;
  int size = 0;
  const char* const hashed = ::crypt_ra(password.c_str(), setting.get(), &data, &size);
  const int code = errno;
  std::string out = hashed != nullptr ? hashed : "";
  if (data != nullptr) ::explicit_bzero(data, static_cast<std::size_t>(size));
  std::free(data);
  if (!out.starts_with("$y$")) return fail("hash password", "", code);
  return out;
}

/// The line of `account` in a file like passwd(5), without its end; nullopt if there is none.
std::optional<std::string_view> line_of(std::string_view text, std::string_view account) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.starts_with(account) && line.substr(account.size()).starts_with(':')) return line;
  }
  return std::nullopt;
}

/// A field of such a line, the first being 0; "" if there is none.
std::string_view field(std::string_view line, int number) {
  for (; number > 0; --number) {
    const std::size_t colon = line.find(':');
    if (colon == line.npos) return {};
    line.remove_prefix(colon + 1);
  }
  return line.substr(0, line.find(':'));
}

/// shadow(5) with root's password and day of change replaced; a line for root is added where there is none.
std::string with_root_password(std::string_view shadow, const std::string& hashed) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const std::string start = "root:" + hashed + ":" + std::to_string(duration_cast<std::chrono::days>(now).count());
  std::string out;
  if (!line_of(shadow, "root")) out = start + ":0:99999:7:::\n";
  while (!shadow.empty()) {
    const std::string_view line = shadow.substr(0, shadow.find('\n'));
    shadow.remove_prefix(std::min(shadow.size(), line.size() + 1));
    if (!line.starts_with("root:")) {
      out.append(line).append("\n");
      continue;
    }
    std::size_t rest = line.find(':', 5);
    if (rest != line.npos) rest = line.find(':', rest + 1);
    out.append(start).append(rest == line.npos ? ":0:99999:7:::" : line.substr(rest)).append("\n");
  }
  return out;
}

/// etc/shadow as it is, or as it is to be made.
struct Shadow {
  std::string text;
  std::uint32_t uid = 0, gid = 0, mode = 0640;
  std::vector<sys::Xattr> xattrs;
};

Result<std::string> read_accounts(const DirFd& etc, Name name) {
  return sys::read_whole(TRY(sys::open_file(etc, name)), kMostAccounts);
}

/// A root without etc/shadow gets one if its etc/passwd says that root's password is kept there.
Result<Shadow> new_shadow(const DirFd& etc) {
  if (!TRY(sys::stat_if_there(etc, "passwd"))) return wrong("etc/shadow", "neither it nor etc/passwd is there");
  const std::string passwd = TRY(read_accounts(etc, "passwd"));
  const auto root = line_of(passwd, "root");
  if (!root) return wrong("etc/shadow", "it is not there, and etc/passwd has no root");
  if (field(*root, 1) != "x") return wrong("etc/shadow", "it is not there, and etc/passwd does not refer root to it");
  Shadow shadow;
  if (TRY(sys::stat_if_there(etc, "group"))) {
    const std::string groups = TRY(read_accounts(etc, "group"));
    const std::string_view number = field(line_of(groups, "shadow").value_or(""), 2);
    std::from_chars(number.data(), number.data() + number.size(), shadow.gid);
  }
  return shadow;
}

Result<Shadow> read_shadow(const DirFd& etc) {
  if (!TRY(sys::stat_if_there(etc, "shadow"))) return new_shadow(etc);
  const Fd file = TRY(sys::open_file(etc, "shadow"));
  const sys::Stat stat = TRY(sys::stat(file));
  std::string text = TRY(sys::read_whole(file, kMostAccounts));
  std::vector<sys::Xattr> xattrs = TRY(sys::xattrs(file));
  return Shadow{std::move(text), stat.uid, stat.gid, stat.mode, std::move(xattrs)};
}

Result<> write_shadow(const DirFd& etc, const Shadow& shadow) {
  const Fd file = TRY(sys::create_file(etc, kNew, 0));
  TRY(sys::write_all(file, shadow.text));
  TRY(sys::set_owner(file, shadow.uid, shadow.gid));
  TRY(sys::set_mode(file, shadow.mode));
  for (const sys::Xattr& xattr : shadow.xattrs) TRY(sys::set_xattr(file, xattr));
  TRY(sys::sync_file(file));
  TRY(sys::rename_over(etc, kNew, etc, "shadow"));
  return sys::sync_file(etc);
}

Result<> set_root_password(const Secret& password) {
  const DirFd root = TRY(sys::open_root("."));
  const DirFd etc = TRY(sys::open_dir(root, "etc"));
  Shadow shadow = TRY(read_shadow(etc));
  shadow.text = with_root_password(shadow.text, TRY(hash(password)));
  TRY(sys::unlink_if_there(etc, kNew));  // of a run that was killed
  auto written = write_shadow(etc, shadow);
  if (!written) (void)sys::unlink_if_there(etc, kNew);
  return written;
}

/// Sets a password that nobody knows yet, and then tells it: a password that was told and not set would be a lie.
Result<> set_and_tell() {
  // Asked before anything is opened, which might get that very number.
  if (::fcntl(kToAdministrator, F_GETFD) < 0)
    return wrong("", "descriptor 3, on which the password would be told, is not open");
  const Secret password = TRY(at_random());
  TRY(set_root_password(password));
  Secret line;
  line.add("root password: ").add(password.view()).add("\n");
  const auto size = static_cast<ssize_t>(line.view().size());
  if (::write(kToAdministrator, line.c_str(), line.view().size()) != size)
    return fail("tell root password", "descriptor 3", errno);
  return {};
}

Result<> run() {
  if (const char* path = std::getenv("VSKEL_ROOT_PASSWORD_FILE")) return set_root_password(TRY(from_file(path)));
  if (char* given = std::getenv("VSKEL_ROOT_PASSWORD")) return set_root_password(from_environment(given));
  return set_and_tell();
}

}  // namespace

}  // namespace vskel

int main() {
  const auto done = vskel::run();
  if (done) return 0;
  std::fprintf(stderr, "passwd: %s\n", done.error().line().c_str());
  return 1;
}
