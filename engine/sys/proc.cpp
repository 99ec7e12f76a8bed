#include "engine/sys/proc.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>

namespace vskel::sys::detail {

namespace {

/// Spaces and the like stand in mountinfo as three octal digits.
std::string unescaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    unsigned code = 0;
    const bool escape = text.size() >= 4 && text[0] == '\\' &&
                        std::from_chars(text.data() + 1, text.data() + 4, code, 8).ptr == text.data() + 4;
    out += escape ? static_cast<char>(code) : text[0];
    text.remove_prefix(escape ? 4 : 1);
  }
  return out;
}

}  // namespace

Directory open_listing(const std::string& path) { return {::opendir(path.c_str()), ::closedir}; }

std::string proc(int pid, std::string_view what) { return "/proc/" + std::to_string(pid) + "/" + std::string(what); }

std::optional<int> number_of(const char* name) {
  int number = 0;
  const char* const end = name + std::strlen(name);
  const auto [at, error] = std::from_chars(name, end, number);
  if (error != std::errc{} || at != end) return std::nullopt;
  return number;
}

std::string read_small(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 4096> text{};
  const ssize_t size = file.open() ? ::read(file.number(), text.data(), text.size()) : 0;
  return {text.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
}

Result<std::string> read_long(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.open()) return fail("open", path, errno);
  std::string text;
  std::array<char, 64 * 1024> piece{};
  for (;;) {
    const ssize_t got = ::read(file.number(), piece.data(), piece.size());
    if (got < 0 && errno != EINTR) return fail("read", path, errno);
    if (got == 0) return text;
    if (got > 0) text.append(piece.data(), static_cast<std::size_t>(got));
  }
}

bool is_gone(const Error& error) {
  return error.code == ENOENT || error.code == ESRCH || error.code == EINVAL;  // EINVAL: a zombie's mounts
}

/// A process may call itself anything, ") R 1" too: its name ends at the last parenthesis.
std::optional<TaskStat> parse_stat(const std::string& text) {
  const std::size_t open = text.find('('), close = text.rfind(')');
  if (open == text.npos || close == text.npos || close < open) return std::nullopt;
  TaskStat out;
  out.name = text.substr(open + 1, close - open - 1);
  unsigned flags = 0;
  unsigned long long threads = 0, start = 0;
  // state ppid pgrp session tty tpgid flags minflt cminflt majflt cmajflt utime stime cutime cstime priority nice
  // num_threads itrealvalue starttime
  if (std::sscanf(text.c_str() + close + 1,
                  " %c %d %d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %llu %*d %llu", &out.state,
                  &out.parent, &out.group, &flags, &threads, &start) != 6)
    return std::nullopt;
  constexpr unsigned kKernelThread = 0x00200000;  // PF_KTHREAD (include/linux/sched.h)
  out.of_kernel = (flags & kKernelThread) != 0;
  out.threads = threads;
  out.start = start;
  return out;
}

std::optional<TaskStat> stat_of(int pid) { return parse_stat(read_small(proc(pid, "stat"))); }

Result<std::vector<Mount>> mounts_of(int thread) {
  auto read = read_long(proc(thread, "mountinfo"));
  if (!read && is_gone(read.error())) return std::vector<Mount>{};
  const std::string text = TRY(std::move(read));
  std::vector<Mount> out;
  for (std::string_view left = text; !left.empty();) {
    const std::string line(left.substr(0, left.find('\n')));
    left.remove_prefix(std::min(left.size(), line.size() + 1));
    Mount mount;
    unsigned major = 0, minor = 0;
    int at = 0;
    if (std::sscanf(line.c_str(), "%d %d %u:%u %n", &mount.id, &mount.parent, &major, &minor, &at) != 4) continue;
    const std::string_view rest = std::string_view(line).substr(static_cast<std::size_t>(at));
    const std::size_t first = rest.find(' '), second = rest.find(' ', first + 1);
    if (first == rest.npos || second == rest.npos) continue;
    mount.tree = {makedev(major, minor), unescaped(rest.substr(0, first))};
    mount.mount_point = unescaped(rest.substr(first + 1, second - first - 1));
    // ... - TYPE SOURCE OPTIONS
    if (const std::size_t bar = rest.find(" - ", second); bar != rest.npos) {
      const std::string_view last = rest.substr(bar + 3);
      const std::size_t type = last.find(' '), source = last.find(' ', type + 1);
      mount.type = last.substr(0, type);
      if (type != last.npos && source != last.npos) mount.options = unescaped(last.substr(source + 1));
    }
    out.push_back(std::move(mount));
  }
  return out;
}

bool is_below(std::string_view path, std::string_view above) {
  if (above == "/") return true;
  return path.starts_with(above) && (path.size() == above.size() || path[above.size()] == '/');
}

}  // namespace vskel::sys::detail
