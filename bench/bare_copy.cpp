// The roofline of build-skel and create-vs: a bare loop of the calls that a copy of a tree cannot do without. For every
// directory: make, open, set times, close. For every file: link it; or open, look, create, clone or write what was
// read, set owner and times, close. For every symlink: look, read, make, set times. No manifest, no journal, no seal,
// no attributes: not what the commands promise, but as fast as the kernel lets it be.
//
//   bench_bare_copy THREADS hash SOURCE DESTINATION...           every file read, hashed and copied: build-skel
//   bench_bare_copy THREADS link GLOBAL LOCAL DESTINATION...     GLOBAL linked, LOCAL copied: create-vs
//   bench_bare_copy THREADS copy GLOBAL LOCAL DESTINATION...     both copied: create-vs --share reflink, or copy
//
// All trees are on one file system and unsealed; destinations are not there yet. Threads have a destination each, or
// share the directories of each where there are fewer.

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <thread>

#include "bench/bare_tree.h"

namespace {

enum class By { link, copy, hash };

struct Source {
  std::vector<bare::Directory> tree;
  By by;
};

std::array<timespec, 2> times_of(const struct stat& from) { return {from.st_atim, from.st_mtim}; }

bool is_roots(const struct stat& file) { return file.st_uid == 0 && file.st_gid == 0; }

/// Copies into directories that are made already. All give 0 or errno.
class Copier {
 public:
  int copy_directory(const bare::Directory& directory, By by, const std::string& destination) {
    const int own = ::open((destination + "/" + directory.path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat theirs {};
    if (own < 0 || ::fstat(directory.fd, &theirs) != 0) return errno;
    int code = 0;
    for (const bare::Entry& entry : directory.entries) {
      if (code != 0) break;
      const char* const name = entry.name.c_str();
      if (entry.type == DT_LNK) code = copy_symlink(directory.fd, own, name);
      if (entry.type != DT_REG) continue;
      if (by == By::link) {
        code = ::linkat(directory.fd, name, own, name, 0) == 0 ? 0 : errno;
      } else {
        code = copy_file(directory.fd, own, name, by);
      }
    }
    if (code == 0 && ::futimens(own, times_of(theirs).data()) != 0) code = errno;
    ::close(own);
    return code;
  }

 private:
  static constexpr std::size_t kPiece = 256 * 1024;

  static int copy_symlink(int theirs, int mine, const char* name) {
    std::array<char, PATH_MAX> target{};
    struct stat from {};
    const bool made = ::fstatat(theirs, name, &from, AT_SYMLINK_NOFOLLOW) == 0 &&
                      ::readlinkat(theirs, name, target.data(), target.size() - 1) > 0 &&
                      ::symlinkat(target.data(), mine, name) == 0 &&
                      ::utimensat(mine, name, times_of(from).data(), AT_SYMLINK_NOFOLLOW) == 0;
    return made ? 0 : errno;
  }

  int copy_file(int theirs, int mine, const char* name, By by) {
    const int from = ::openat(theirs, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct stat is {};
    if (from < 0 || ::fstat(from, &is) != 0) return errno;
    const int to = ::openat(mine, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, is.st_mode & 0777);
    if (to < 0) return errno;
    const bool cloned = clones_ && is.st_size > 0 && ::ioctl(to, FICLONE, from) == 0;
    if (is.st_size > 0 && !cloned) clones_ = false;
    bool done = true;
    const bool read = by == By::hash || !cloned;
    for (off_t at = 0; done && read && at < is.st_size;) {
      const ssize_t got = ::pread(from, buffer_.get(), kPiece, at);
      done = got > 0 && (cloned || ::pwrite(to, buffer_.get(), static_cast<std::size_t>(got), at) == got);
      if (done && by == By::hash) hash_ = XXH3_64bits(buffer_.get(), static_cast<std::size_t>(got));
      at += got;
    }
    if (done && !is_roots(is)) done = ::fchown(to, is.st_uid, is.st_gid) == 0;
    done = done && ::futimens(to, times_of(is).data()) == 0;
    const int code = done ? 0 : errno;
    ::close(to);
    ::close(from);
    return code;
  }

  bool clones_ = true;
  volatile std::uint64_t hash_ = 0;  ///< nobody reads it, and yet it is to be computed
  std::unique_ptr<char[]> buffer_ = std::make_unique<char[]>(kPiece);
};

int make_directories(const Source& source, const std::string& destination) {
  for (const bare::Directory& directory : source.tree) {
    struct stat is {};
    if (::fstat(directory.fd, &is) != 0) return errno;
    if (::mkdir((destination + "/" + directory.path).c_str(), is.st_mode & 0777) != 0 && errno != EEXIST) return errno;
  }
  return 0;
}

/// Calls `work(copier, at)` for all of `count`, from all threads, until one gives an errno.
template <class Work>
int share_out(unsigned threads, std::size_t count, Work work) {
  std::atomic<std::size_t> next{0};
  std::atomic<int> code{0};
  {
    std::vector<std::jthread> running;
    for (unsigned i = 0; i < threads; ++i)
      running.emplace_back([&] {
        Copier copier;
        for (std::size_t at = next++; at < count && code == 0; at = next++)
          if (const int failed = work(copier, at); failed != 0) code = failed;
      });
  }
  return code;
}

int copy_all(unsigned threads, const std::vector<Source>& sources, std::span<char*> destinations) {
  if (destinations.size() >= threads)
    return share_out(threads, destinations.size(), [&](Copier& copier, std::size_t at) {
      for (const Source& source : sources) {
        if (const int code = make_directories(source, destinations[at]); code != 0) return code;
        for (const bare::Directory& directory : source.tree)
          if (const int code = copier.copy_directory(directory, source.by, destinations[at]); code != 0) return code;
      }
      return 0;
    });
  for (const char* const destination : destinations) {
    for (const Source& source : sources) {
      if (const int code = make_directories(source, destination); code != 0) return code;
      const int code = share_out(threads, source.tree.size(), [&](Copier& copier, std::size_t at) {
        return copier.copy_directory(source.tree[at], source.by, destination);
      });
      if (code != 0) return code;
    }
  }
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  const std::span<char*> words(arguments, static_cast<std::size_t>(count));
  const std::string_view mode = count > 2 ? words[2] : "";
  const bool hashes = mode == "hash", links = mode == "link";
  const std::size_t sources_end = hashes ? 4 : 5;
  if ((!hashes && !links && mode != "copy") || words.size() <= sources_end) {
    std::fprintf(stderr,
                 "usage: bench_bare_copy THREADS hash SOURCE DESTINATION...\n"
                 "       bench_bare_copy THREADS link|copy GLOBAL LOCAL DESTINATION...\n");
    return 2;
  }
  std::vector<Source> sources;
  sources.push_back({bare::load(words[3]), hashes ? By::hash : links ? By::link : By::copy});
  if (!hashes) sources.push_back({bare::load(words[4]), By::copy});
  if (std::ranges::any_of(sources, [](const Source& source) { return source.tree.empty(); })) {
    std::perror("bench_bare_copy: open source");
    return 1;
  }
  const int code = copy_all(static_cast<unsigned>(std::stoul(words[1])), sources, words.subspan(sources_end));
  if (code != 0) std::fprintf(stderr, "bench_bare_copy: %s\n", std::strerror(code));
  return code == 0 ? 0 : 1;
}
