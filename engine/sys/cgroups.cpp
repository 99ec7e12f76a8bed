// Group names below a delegated group are its tenant's choice, so that they are gone through as any tree: one component
// after the other, beneath the mount.

#include "engine/sys/cgroups.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "engine/sys/call.h"
#include "engine/sys/kernel.h"
#include "engine/sys/processes.h"

namespace vskel::sys {

namespace {

constexpr std::size_t kMostText = 1 << 20;

bool group_is_gone(const Error& error) { return error.code == ENOENT || error.code == ENODEV; }

}  // namespace

Result<std::optional<Cgroups>> Cgroups::find() {
  const std::string text = TRY(read_whole(TRY(open_input("/proc/self/mountinfo")), 64 * kMostText));
  // ID PARENT MAJOR:MINOR ROOT MOUNT_POINT OPTIONS ... - TYPE SOURCE OPTIONS
  for (std::string_view left = text; !left.empty();) {
    const std::string_view line = left.substr(0, left.find('\n'));
    left.remove_prefix(std::min(left.size(), line.size() + 1));
    if (line.find(" - cgroup2 ") == line.npos) continue;
    std::string_view fields = line;
    const auto next = [&fields] {
      const std::string field(fields.substr(0, fields.find(' ')));
      fields.remove_prefix(std::min(fields.size(), field.size() + 1));
      return field;
    };
    for (int skipped = 0; skipped < 3; ++skipped) (void)next();
    std::string root = next();
    auto opened = open_root(next());
    if (!opened || root.starts_with("/..")) continue;
    return Cgroups(std::move(*opened), root == "/" ? "" : std::move(root));
  }
  return std::nullopt;
}

std::optional<std::string> Cgroups::group_of(int pid) const {
  const auto file = open_input("/proc/" + std::to_string(pid) + "/cgroup");
  if (!file) return std::nullopt;
  const auto text = read_whole(*file, kMostText);
  if (!text) return std::nullopt;
  constexpr std::string_view kVersion2 = "0::";
  for (std::string_view left = *text; !left.empty();) {
    std::string_view line = left.substr(0, left.find('\n'));
    left.remove_prefix(std::min(left.size(), line.size() + 1));
    if (!line.starts_with(kVersion2)) continue;
    line.remove_prefix(kVersion2.size());
    constexpr std::string_view kDeleted = " (deleted)";
    if (line.ends_with(kDeleted)) return std::nullopt;
    const bool below = mounted_.empty() || line == mounted_ || line.starts_with(mounted_ + "/");
    if (!below || line.starts_with("/..")) return std::nullopt;
    return std::string(line);
  }
  return std::nullopt;
}

Result<DirFd> Cgroups::open_group(const std::string& group) const {
  std::string_view below = std::string_view(group).substr(mounted_.size());
  if (below.starts_with('/')) below.remove_prefix(1);
  return open_dirs(root_, below);
}

Result<> Cgroups::write(const std::string& group, const char* value) const {
  const DirFd dir = TRY(open_group(group));
  const Fd file(TRY(detail::attempt("freeze", "openat", detail::Effect::changes, dir, "cgroup.freeze", [&] {
    return ::openat(dir.number(), "cgroup.freeze", O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
  })));
  return write_all(file, value);
}

Result<> Cgroups::freeze(const std::string& group) const { return write(group, "1"); }

Result<> Cgroups::thaw(const std::string& group) const {
  auto thawed = write(group, "0");
  if (!thawed && group_is_gone(thawed.error())) return {};
  return thawed;
}

Result<bool> Cgroups::is_frozen(const std::string& group) const {
  auto dir = open_group(group);
  if (!dir && group_is_gone(dir.error())) return false;
  const DirFd opened = TRY(std::move(dir));
  auto file = open_file(opened, "cgroup.events");
  if (!file && group_is_gone(file.error())) return false;  // the root group has none
  auto text = read_whole(TRY(std::move(file)), kMostText);
  if (!text && group_is_gone(text.error())) return false;
  return TRY(std::move(text)).find("frozen 1") != std::string::npos;
}

}  // namespace vskel::sys
