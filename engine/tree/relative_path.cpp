#include "engine/tree/relative_path.h"

#include <algorithm>
#include <cerrno>

namespace vskel {

bool is_relative_path(std::string_view path) {
  constexpr std::size_t kLongestName = 255;
  if (path.find('\0') != path.npos) return false;
  for (;;) {
    const std::string_view component = path.substr(0, path.find('/'));
    if (component.empty() || component == "." || component == ".." || component.size() > kLongestName) return false;
    if (component.size() == path.size()) return true;
    path.remove_prefix(component.size() + 1);
  }
}

std::string_view parent_path(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == path.npos ? std::string_view() : path.substr(0, slash);
}

std::string joined_path(std::string_view directory, std::string_view name) {
  return directory.empty() ? std::string(name) : std::string(directory) + "/" + std::string(name);
}

Name last_name(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return *Name::check(path.c_str() + (slash == std::string::npos ? 0 : slash + 1));
}

bool leads_nowhere(const Error& error) {
  return error.code == ENOENT || error.code == ENOTDIR || error.code == ELOOP || error.code == EXDEV;
}

Result<DirFd> open_dirs_if_there(const DirFd& root, std::string_view path) {
  auto dir = sys::open_dirs(root, path);
  const auto is_not_there = [](int code) { return code == ENOENT || code == ENOTDIR || code == ELOOP; };
  if (!dir && is_not_there(dir.error().code)) return DirFd();
  return dir;
}

Result<DirFd> make_dirs(const DirFd& root, std::string_view path) {
  constexpr std::uint32_t kPrivate = 0700;
  DirFd dir = TRY(sys::reopen(root));
  while (!path.empty()) {
    const std::string component(path.substr(0, path.find('/')));
    path.remove_prefix(std::min(path.size(), component.size() + 1));
    dir = TRY(sys::ensure_dir(dir, *Name::check(component), kPrivate));
  }
  return dir;
}

}  // namespace vskel
