// An archive laid out in memory (tmpfs): its target, and a neighbour that it must never reach.

#include "engine/skel/archive.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "engine/sys/kernel.h"
#include "engine/tree/remove.h"
#include "tests/fuzz/target.h"

namespace vskel::test::fuzz {

namespace {

namespace fs = std::filesystem;

class Sandbox {
 public:
  Sandbox() {
    std::string pattern = "/dev/shm/vskel-archive.XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no directory in memory to be had");
    top_ = pattern;
    fs::create_directory(top_ / "neighbour");
    ::close(::open((top_ / "neighbour" / "file").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0640));
    before_ = picture();
  }
  ~Sandbox() {
    if (const auto parent = sys::open_root(top_.parent_path()))
      if (const auto name = top_.filename().string(); const auto checked = Name::check(name))
        (void)remove_tree(*parent, *checked);
  }
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  [[nodiscard]] const fs::path& top() const { return top_; }
  [[nodiscard]] bool is_as_before() const { return picture() == before_; }

 private:
  /// All that is beside the target, as far as stat tells.
  [[nodiscard]] std::string picture() const {
    std::string out;
    for (const fs::path& path : {top_, top_ / "neighbour", top_ / "neighbour" / "file"}) {
      struct stat what {};
      if (::lstat(path.c_str(), &what) != 0) return "gone";
      out += std::to_string(what.st_mode) + " " + std::to_string(what.st_uid) + " ";
      if (path == top_) continue;  // the target comes and goes in it
      for (const auto number :
           {static_cast<long>(what.st_size), static_cast<long>(what.st_mtim.tv_sec), static_cast<long>(what.st_nlink)})
        out += std::to_string(number) + " ";
    }
    std::set<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(top_ / "neighbour")) names.insert(entry.path().string());
    for (const auto& entry : fs::directory_iterator(top_))
      if (entry.path().filename() != "target") names.insert(entry.path().string());
    for (const std::string& name : names) out += name + "\n";
    return out;
  }
  fs::path top_;
  std::string before_;
};

/// Sandbox, limits and umask of a process that unpacks strangers' archives all day.
Sandbox& sandbox() {
  static Sandbox one;
  return one;
}

Fd memory_file(std::string_view bytes) {
  const Fd file(::memfd_create("archive", MFD_CLOEXEC));
  if (!file.open() || ::write(file.number(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
    throw std::runtime_error("no file in memory to be had");
  return Fd(::openat(AT_FDCWD, ("/proc/self/fd/" + std::to_string(file.number())).c_str(), O_RDONLY | O_CLOEXEC));
}

/// No file of an archive of a few KiB needs more; one that states more gets EFBIG as on a full disk.
class SizeLimit {
 public:
  SizeLimit() {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = 1 << 20;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~SizeLimit() { ::setrlimit(RLIMIT_FSIZE, &before_); }
  SizeLimit(const SizeLimit&) = delete;
  SizeLimit& operator=(const SizeLimit&) = delete;

 private:
  rlimit before_{};
};

}  // namespace

void archive(std::string_view bytes) {
  const Fd input = memory_file(bytes);
  Sandbox& around = sandbox();
  const DirFd top = *sys::open_root(around.top());
  must(sys::make_dir(top, "target", 0700).has_value(), "a directory in memory can be made");
  {
    const SizeLimit limit;
    const DirFd target = *sys::open_dir(top, "target");
    const auto report = unpack_archive(input, "a.tar", target);
    if (report)
      must(report->entries > 0, "an archive that is taken has entries");
    else
      must(report.error().path.starts_with("a.tar") || report.error().code != 0, "an error names the archive");
  }
  must(remove_tree(top, "target").has_value(), "what an archive made can be removed");
  must(around.is_as_before(), "nothing beside the target is touched");
}

}  // namespace vskel::test::fuzz
