// The roofline of relink's work on private copies: a bare loop of the calls that it cannot do without, over names that
// are in memory already, with a copy for each thread. For every file: open both, read both, compare, link into a stage,
// exchange, unlink what came out, close. No plan, no lease, no second look, no journal: not safe, but as fast as the
// kernel lets it be.
//
//   bench_bare_fold THREADS MASTER COPY...
//
// All trees are on one file system and unsealed; every copy has the files of MASTER.

#include <atomic>
#include <cstdio>
#include <cstring>
#include <memory>
#include <span>
#include <thread>

#include "bench/bare_tree.h"

namespace {

class Folder {
 public:
  Folder(const std::vector<bare::Directory>& master, std::string copy, const std::string& stage)
      : master_(master), copy_(std::move(copy)) {
    ::mkdir(stage.c_str(), 0700);
    stage_ = ::open(stage.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { ::close(stage_); }

  /// 0 or errno.
  int run() {
    for (const bare::Directory& directory : master_) {
      const int own = ::open((copy_ + "/" + directory.path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      if (own < 0) return errno;
      for (const bare::Entry& entry : directory.entries) {
        if (entry.type != DT_REG) continue;
        if (const int code = fold(directory.fd, own, entry.name.c_str()); code != 0) return code;
      }
      ::close(own);
    }
    return 0;
  }

 private:
  static constexpr std::size_t kPiece = 256 * 1024;

  int fold(int theirs, int mine, const char* name) {
    const int a = ::openat(theirs, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    const int b = ::openat(mine, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (a < 0 || b < 0) return errno;
    struct stat of_a {};
    if (::fstat(a, &of_a) != 0) return errno;
    bool same = of_a.st_size > 0;
    for (off_t at = 0; same && at < of_a.st_size; at += static_cast<off_t>(kPiece)) {
      const ssize_t got = ::pread(a, buffers_.get(), kPiece, at);
      same = got > 0 && ::pread(b, buffers_.get() + kPiece, kPiece, at) == got &&
             std::memcmp(buffers_.get(), buffers_.get() + kPiece, static_cast<std::size_t>(got)) == 0;
    }
    const bool replaced =
        !same || (::linkat(theirs, name, stage_, name, 0) == 0 &&
                  ::renameat2(stage_, name, mine, name, RENAME_EXCHANGE) == 0 && ::unlinkat(stage_, name, 0) == 0);
    const int code = replaced ? 0 : errno;
    ::close(a);
    ::close(b);
    return code;
  }

  const std::vector<bare::Directory>& master_;
  const std::string copy_;
  int stage_;
  std::unique_ptr<char[]> buffers_ = std::make_unique<char[]>(2 * kPiece);
};

}  // namespace

int main(int count, char** arguments) {
  const std::span<char*> words(arguments, static_cast<std::size_t>(count));
  if (count < 4) {
    std::fprintf(stderr, "usage: bench_bare_fold THREADS MASTER COPY...\n");
    return 2;
  }
  const unsigned threads = static_cast<unsigned>(std::stoul(words[1]));
  const std::vector<bare::Directory> master = bare::load(words[2]);
  if (master.empty()) {
    std::perror(words[2]);
    return 1;
  }
  const std::span<char*> copies = words.subspan(3);
  std::atomic<std::size_t> next{0};
  std::atomic<int> code{0};
  {
    std::vector<std::jthread> running;
    for (unsigned i = 0; i < threads; ++i)
      running.emplace_back([&] {
        for (std::size_t at = next++; at < copies.size() && code == 0; at = next++) {
          const std::string copy = copies[at];
          if (const int failed = Folder(master, copy, copy + ".stage").run(); failed != 0) code = failed;
        }
      });
  }
  if (code != 0) std::fprintf(stderr, "bench_bare_fold: %s\n", std::strerror(code));
  return code == 0 ? 0 : 1;
}
