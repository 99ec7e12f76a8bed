// post-create-vs plugin: makes what is one machine's own and so is in no skel: SSH host keys where there is a server
// for them and none are there, and Debian's self-signed "snakeoil" pair where its package is.
//
// The keys are made by the host's ssh-keygen and openssl in a directory that nobody else can reach, and come into the
// vserver as bytes: a tenant may own all in it, so names are opened one by one, nothing is followed, and no program
// that follows is given a path in there. A file appears by a rename, whole, and takes the place of nothing.

#include <stdlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/sys/kernel.h"
#include "engine/sys/process.h"
#include "engine/tree/listing.h"

namespace vskel {

namespace {

constexpr std::size_t kMostKey = 64 << 10, kMostAccounts = 16 << 20;
constexpr Name kNew = ".vskel-new";

struct Vserver {
  std::string name, fqdn;
  DirFd root;
};

/// A directory of ours alone, gone with what is in it at the end.
class Workshop {
 public:
  static Result<Workshop> open() {
    // A tmpfs where there is one: keys that are given away should not stay on a disk.
    for (std::string path : {"/run/vskel-identity.XXXXXX", "/tmp/vskel-identity.XXXXXX"})
      if (::mkdtemp(path.data()) != nullptr) return Workshop(path, TRY(sys::open_root(path)));
    return fail("make directory", "/run", errno);
  }
  Workshop(Workshop&& other) noexcept : path_(std::exchange(other.path_, std::string())), dir_(std::move(other.dir_)) {}
  Workshop& operator=(Workshop&&) = delete;
  ~Workshop() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }

  /// Runs a program of the host's here; gives what it said.
  [[nodiscard]] Result<std::string> run(const std::string& program, const std::string& package,
                                        std::vector<std::string> arguments) const {
    const Fd file = TRY(find(program, package));
    arguments.insert(arguments.begin(), program);
    const sys::ChildSpec spec{.program = &file,
                              .arguments = std::move(arguments),
                              .environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C", "HOME=/"},
                              .working_directory = &dir_};
    sys::ChildOutcome outcome = TRY(sys::run_child(spec));
    if (outcome.exit_status == 0) return std::move(outcome.output);
    if (outcome.timed_out) return fail("run", program, std::string("it did not end"));
    return fail("run", program, "failed: " + outcome.output.substr(0, outcome.output.find('\n')));
  }

  [[nodiscard]] Result<std::string> read(Name name) const {
    return sys::read_whole(TRY(sys::open_file(dir_, name)), kMostKey);
  }
  [[nodiscard]] Result<> write(Name name, std::string_view text) const {
    return sys::write_all(TRY(sys::create_file(dir_, name, 0600)), text);
  }

 private:
  Workshop(std::string path, DirFd dir) : path_(std::move(path)), dir_(std::move(dir)) {}

  static Result<Fd> find(const std::string& program, const std::string& package) {
    for (const char* const path : {"/usr/bin", "/usr/local/bin", "/bin"}) {
      const auto dir = sys::open_root(path);
      if (!dir || !TRY(sys::stat_if_there(*dir, *Name::check(program)))) continue;
      return sys::open_trusted_program(*dir, *Name::check(program));
    }
    return fail("run", program, "it is not on this host; install " + package + ", then vskel run-plugins");
  }

  std::string path_;
  DirFd dir_;
};

/// A closed descriptor where there is no such directory. One that is a symbolic link is an error: nobody knows where
/// the vserver's programs would find what is made there.
Result<DirFd> open_below(const DirFd& root, std::string_view path) {
  auto dir = sys::open_dirs(root, path);
  if (!dir && dir.error().code == ENOENT) return DirFd();
  return dir;
}

Result<bool> is_there(const DirFd& root, std::string_view directory, Name name) {
  const auto dir = sys::open_dirs(root, directory);
  return dir && TRY(sys::stat_if_there(*dir, name))
  .has_value();
}

struct NewFile {
  std::uint32_t gid = 0, mode = 0600;
};

/// In the place of nothing: EEXIST where there is something of that name.
Result<> put_file(const DirFd& dir, Name name, std::string_view content, const NewFile& as) {
  TRY(sys::unlink_if_there(dir, kNew));  // of a run that was killed
  const auto put = [&]() -> Result<> {
    const Fd file = TRY(sys::create_file(dir, kNew, 0));
    TRY(sys::write_all(file, content));
    TRY(sys::set_owner(file, 0, as.gid));
    TRY(sys::set_mode(file, as.mode));
    TRY(sys::sync_file(file));
    return sys::rename_new(dir, kNew, dir, name);
  };
  auto done = put();
  if (!done) (void)sys::unlink_if_there(dir, kNew);
  return done;
}

// --- SSH

constexpr std::string_view kHostKey = "ssh_host_", kKey = "_key";

Result<bool> has_host_key(const DirFd& ssh) {
  const DirFd dir = TRY(sys::reopen(ssh));
  const Listing listing = TRY(Listing::read(dir));
  return std::ranges::any_of(listing.entries(), [](const Listed& one) {
    return one.name.view().starts_with(kHostKey) && one.name.view().ends_with(kKey);
  });
}

/// Clients have /etc/ssh, too.
Result<bool> has_server(const DirFd& root) {
  struct Place {
    std::string_view directory;
    Name name;
  };
  constexpr std::array kPlaces{Place{"etc/ssh", "sshd_config"}, Place{"usr/etc/ssh", "sshd_config"},
                               Place{"usr/sbin", "sshd"}, Place{"usr/bin", "sshd"}};
  for (const Place& place : kPlaces)
    if (TRY(is_there(root, place.directory, place.name))) return true;
  return false;
}

Result<> make_host_keys(const Vserver& vserver) {
  if (!TRY(has_server(vserver.root))) return {};
  const DirFd ssh = TRY(open_below(vserver.root, "etc/ssh"));
  if (!ssh.open() || TRY(has_host_key(ssh))) return {};
  // The kinds that ssh-keygen -A makes.
  for (const std::string& kind : {std::string("ed25519"), std::string("ecdsa"), std::string("rsa")}) {
    const Workshop workshop = TRY(Workshop::open());
    TRY(workshop.run("ssh-keygen", "openssh-client",
                     {"-q", "-N", "", "-t", kind, "-C", "root@" + vserver.name, "-f", "key"}));
    const std::string name = std::string(kHostKey) + kind + std::string(kKey), public_name = name + ".pub";
    TRY(sys::unlink_if_there(ssh, *Name::check(public_name)));  // without its other half it serves nobody
    TRY(put_file(ssh, *Name::check(public_name), TRY(workshop.read("key.pub")), {.mode = 0644}));
    TRY(put_file(ssh, *Name::check(name), TRY(workshop.read("key")), {}));
    std::printf("identity: made etc/ssh/%s\n", name.c_str());
  }
  return sys::sync_file(ssh);
}

// --- snakeoil

constexpr Name kCertificate = "ssl-cert-snakeoil.pem", kPrivate = "ssl-cert-snakeoil.key";

/// The number of a group by the vserver's own etc/group; nullopt if it has none of that name.
Result<std::optional<std::uint32_t>> group_of(const DirFd& root, std::string_view group) {
  const DirFd etc = TRY(sys::open_dir(root, "etc"));
  if (!TRY(sys::stat_if_there(etc, "group"))) return std::nullopt;
  const std::string text = TRY(sys::read_whole(TRY(sys::open_file(etc, "group")), kMostAccounts));
  std::string_view rest = text;
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (!line.starts_with(group) || !line.substr(group.size()).starts_with(':')) continue;
    line.remove_prefix(group.size() + 1);
    const std::size_t colon = line.find(':');
    const std::string_view number = line.substr(colon == line.npos ? line.size() : colon + 1);
    std::uint32_t gid = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), gid);
    if (error == std::errc{}) return gid;
  }
  return std::nullopt;
}

/// As make-ssl-cert's own template has it.
std::string request_for(const Vserver& vserver) {
  constexpr std::size_t kMostCommonName = 64;  // X.520
  const std::string& common = vserver.fqdn.size() <= kMostCommonName ? vserver.fqdn : vserver.name;
  return "[req]\nprompt = no\ndistinguished_name = name\nx509_extensions = extensions\n[name]\ncommonName = " + common +
         "\n[extensions]\nbasicConstraints = CA:FALSE\nsubjectAltName = DNS:" + vserver.fqdn + "\n";
}

/// The name by which openssl finds a certificate among many.
Result<> link_by_hash(const Workshop& workshop, const DirFd& certs) {
  std::string hash = TRY(workshop.run("openssl", "openssl", {"x509", "-noout", "-hash", "-in", "certificate"}));
  hash.resize(std::min(hash.size(), hash.find('\n')));
  const auto name = Name::check(hash + ".0");
  if (hash.empty() || !name || TRY(sys::stat_if_there(certs, *name))) return {};
  return sys::make_symlink(certs, *name, std::string(kCertificate.view()));
}

Result<> make_snakeoil(const Vserver& vserver) {
  if (!TRY(is_there(vserver.root, "usr/sbin", "make-ssl-cert"))) return {};
  const DirFd certs = TRY(open_below(vserver.root, "etc/ssl/certs"));
  const DirFd keys = TRY(open_below(vserver.root, "etc/ssl/private"));
  if (!certs.open() || !keys.open() || TRY(sys::stat_if_there(keys, kPrivate)) ||
      TRY(sys::stat_if_there(certs, kCertificate)))
    return {};
  const Workshop workshop = TRY(Workshop::open());
  TRY(workshop.write("request", request_for(vserver)));
  TRY(workshop.run("openssl", "openssl",
                   {"req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", "3650", "-config", "request",
                    "-keyout", "key", "-out", "certificate"}));
  const auto group = TRY(group_of(vserver.root, "ssl-cert"));
  const NewFile as{.gid = group.value_or(0), .mode = group ? 0640U : 0600U};
  TRY(put_file(keys, kPrivate, TRY(workshop.read("key")), as));
  TRY(put_file(certs, kCertificate, TRY(workshop.read("certificate")), {.mode = 0644}));
  TRY(link_by_hash(workshop, certs));
  std::printf("identity: made etc/ssl/private/ssl-cert-snakeoil.key and its certificate for %s\n",
              vserver.fqdn.c_str());
  TRY(sys::sync_file(keys));
  return sys::sync_file(certs);
}

/// A name as it may stand in a file of openssl's.
Result<std::string> host_name_from(const char* variable) {
  const char* const value = std::getenv(variable);
  const std::string name = value == nullptr ? "" : value;
  const auto may_stand = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_';
  };
  if (name.empty() || !std::ranges::all_of(name, may_stand)) return fail("read", variable, "no name: '" + name + "'");
  return name;
}

Result<> run() {
  const Vserver vserver {
    TRY(host_name_from("VS_NAME"))
    , TRY(host_name_from("VS_FQDN"))
    , TRY(sys::open_root("."))
  };
  auto keys = make_host_keys(vserver);
  TRY(make_snakeoil(vserver));
  return keys;
}

}  // namespace

}  // namespace vskel

int main() {
  const auto done = vskel::run();
  if (done) return 0;
  std::fflush(stdout);
  std::fprintf(stderr, "identity: %s\n", done.error().line().c_str());
  return 1;
}
