#include "engine/sys/ring.h"

#include <fcntl.h>
#include <liburing.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include <array>
#include <utility>

#include "engine/sys/call.h"

namespace vskel::sys {

namespace {

/// io-wq threads that one ring may have (io_uring_register_iowq_max_workers(3)): a window is mostly for one directory,
/// whose lock lets one of them in, and unbounded ones cost more than they bring.
constexpr unsigned kWorkers = 2;

constexpr std::uint64_t kOneNameBeneath =
    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;

open_how how_to_open(int flags, std::uint32_t mode) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags) | O_CLOEXEC | O_NOFOLLOW;
  how.mode = mode;
  how.resolve = kOneNameBeneath;
  return how;
}

}  // namespace

struct Ring::State {
  /// One call of the window.
  struct Prepared {
    const char* operation;
    const Fd* dir;     // for the error's path; null where the call has an error no more to tell of
    const char* name;  // likewise
    int value = 0;     // of the completion, or the negative errno that the seam wants
    bool done = false;
  };

  io_uring ring{};
  bool open = false;
  std::vector<Prepared> prepared;
  std::size_t handed_over = 0;           // of the window, what was not kept back by the seam
  std::array<open_how, kWindow> hows{};  // read by the kernel at submission
  std::array<struct statx, kWindow> stats{};
  ~State() {
    if (open) io_uring_queue_exit(&ring);
  }
};

Ring::Ring() : state_(std::make_unique<State>()) { state_->prepared.reserve(kWindow); }
Ring::~Ring() = default;

std::size_t Ring::room() const { return kWindow - state_->prepared.size(); }

Result<std::unique_ptr<Ring>> Ring::open() {
  std::unique_ptr<Ring> made(new Ring);
  // SINGLE_ISSUER is of Linux 6.0, DEFER_TASKRUN of 6.1; older kernels answer EINVAL.
  constexpr std::array<unsigned, 3> kFlags{IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
                                           IORING_SETUP_SINGLE_ISSUER, 0};
  int code = 0;
  for (const unsigned flags : kFlags) {
    code = -io_uring_queue_init(kWindow, &made->state_->ring, flags);
    made->state_->open = code == 0;
    if (code != EINVAL) break;
  }
  if (code != 0) return fail("set up io_uring", "", code);
  std::array<unsigned, 2> most{kWorkers, kWorkers};  // bounded and unbounded work; Linux 5.15, and no harm without
  (void)io_uring_register_iowq_max_workers(&made->state_->ring, most.data());
  return made;
}

void* Ring::prepare(const char* operation, const char* call, bool changes, const Fd& dir, const char* name) {
  state_->prepared.push_back({operation, &dir, name, 0, false});
  const int wanted = detail::intercepted(call, changes ? detail::Effect::changes : detail::Effect::looks, dir, name);
  if (wanted != Seam::kRun) {
    state_->prepared.back().value = wanted == Seam::kPretend ? 0 : -wanted;
    return nullptr;
  }
  io_uring_sqe* const entry = state_->open ? io_uring_get_sqe(&state_->ring) : nullptr;
  if (entry == nullptr) {
    state_->prepared.back().value = -EIO;  // given up, see finish()
    return nullptr;
  }
  ++state_->handed_over;
  return entry;
}

// The number of the place goes in last: the prepare functions of liburing clear the entry.
#define VSKEL_PREPARE(entry, function, ...)                                    \
  do {                                                                         \
    if (auto* const sqe = static_cast<io_uring_sqe*>(entry); sqe != nullptr) { \
      function(sqe, __VA_ARGS__);                                              \
      io_uring_sqe_set_data64(sqe, state_->prepared.size() - 1);               \
    }                                                                          \
  } while (false)

void Ring::make_dir(const DirFd& dir, Name name, std::uint32_t mode) {
  VSKEL_PREPARE(prepare("make directory", "mkdirat", true, dir, name.c_str()), io_uring_prep_mkdirat, dir.number(),
                name.c_str(), mode);
}

void Ring::make_symlink(const DirFd& dir, Name name, const std::string& target) {
  VSKEL_PREPARE(prepare("make symlink", "symlinkat", true, dir, name.c_str()), io_uring_prep_symlinkat, target.c_str(),
                dir.number(), name.c_str());
}

void Ring::link(const DirFd& source_dir, Name source, const DirFd& dir, Name name) {
  VSKEL_PREPARE(prepare("link", "linkat", true, dir, name.c_str()), io_uring_prep_linkat, source_dir.number(),
                source.c_str(), dir.number(), name.c_str(), 0);
}

void Ring::unlink(const DirFd& dir, Name name) {
  VSKEL_PREPARE(prepare("remove", "unlinkat", true, dir, name.c_str()), io_uring_prep_unlinkat, dir.number(),
                name.c_str(), 0);
}

void Ring::remove_dir(const DirFd& dir, Name name) {
  VSKEL_PREPARE(prepare("remove", "unlinkat", true, dir, name.c_str()), io_uring_prep_unlinkat, dir.number(),
                name.c_str(), AT_REMOVEDIR);
}

void Ring::rename_new(const DirFd& from_dir, Name from, const DirFd& to_dir, Name to) {
  VSKEL_PREPARE(prepare("rename", "renameat2", true, to_dir, to.c_str()), io_uring_prep_renameat, from_dir.number(),
                from.c_str(), to_dir.number(), to.c_str(), RENAME_NOREPLACE);
}

void Ring::exchange(const DirFd& a_dir, Name a, const DirFd& b_dir, Name b) {
  VSKEL_PREPARE(prepare("exchange", "renameat2", true, b_dir, b.c_str()), io_uring_prep_renameat, a_dir.number(),
                a.c_str(), b_dir.number(), b.c_str(), RENAME_EXCHANGE);
}

void Ring::create_file(const DirFd& dir, Name name, std::uint32_t mode) {
  void* const entry = prepare("create", "openat2", true, dir, name.c_str());
  open_how& how = state_->hows.at(state_->prepared.size() - 1);
  how = how_to_open(O_RDWR | O_CREAT | O_EXCL, mode);
  VSKEL_PREPARE(entry, io_uring_prep_openat2, dir.number(), name.c_str(), &how);
}

void Ring::open_trusted_file(const DirFd& dir, Name name) {
  if (detail::is_mounted_over(dir, name.c_str())) [[unlikely]]
    return state_->prepared.push_back({"open", &dir, name.c_str(), -EXDEV, false});
  void* const entry = prepare("open", "openat2", false, dir, name.c_str());
  open_how& how = state_->hows.at(state_->prepared.size() - 1);
  how = how_to_open(O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOATIME, 0);
  VSKEL_PREPARE(entry, io_uring_prep_openat2, dir.number(), name.c_str(), &how);
}

void Ring::read(const Fd& file, std::span<std::byte> buffer, std::uint64_t offset) {
  VSKEL_PREPARE(prepare("read", "pread64", false, file, ""), io_uring_prep_read, file.number(), buffer.data(),
                static_cast<unsigned>(buffer.size()), offset);
}

void Ring::write(const Fd& file, std::span<const std::byte> data, std::uint64_t offset) {
  VSKEL_PREPARE(prepare("write", "pwrite64", true, file, ""), io_uring_prep_write, file.number(), data.data(),
                static_cast<unsigned>(data.size()), offset);
}

void Ring::close(Fd file) {
  void* const entry = prepare("close", "close", false, file, "");
  state_->prepared.back().dir = nullptr;
  VSKEL_PREPARE(entry, io_uring_prep_close, entry != nullptr ? file.release() : -1);
}

void Ring::stat(const DirFd& dir, Name name) {
  void* const entry = prepare("stat", "statx", false, dir, name.c_str());
  VSKEL_PREPARE(entry, io_uring_prep_statx, dir.number(), name.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
                STATX_BASIC_STATS, &state_->stats.at(state_->prepared.size() - 1));
}

#undef VSKEL_PREPARE

std::vector<Result<int>> Ring::finish() {
  std::size_t submitted = 0, awaited = 0;
  int refused = 0;
  while (awaited < (refused != 0 ? submitted : state_->handed_over)) {
    const auto wanted = static_cast<unsigned>((refused != 0 ? submitted : state_->handed_over) - awaited);
    const int taken = io_uring_submit_and_wait(&state_->ring, wanted);
    const bool again = taken == -EINTR || taken == -EAGAIN || taken == -EBUSY;
    if (taken < 0 && !again) {
      if (refused != 0) break;
      refused = -taken;
    }
    if (taken > 0) submitted += static_cast<std::size_t>(taken);
    io_uring_cqe* completion = nullptr;
    unsigned head = 0, seen = 0;
    io_uring_for_each_cqe(&state_->ring, head, completion) {
      State::Prepared& done = state_->prepared.at(io_uring_cqe_get_data64(completion));
      done.value = completion->res;
      done.done = true;
      ++seen;
    }
    io_uring_cq_advance(&state_->ring, seen);
    awaited += seen;
  }
  if (refused != 0) {
    // What it did not take lies in the queue still: this ring takes nothing more.
    io_uring_queue_exit(&state_->ring);
    state_->open = false;
  }
  std::vector<Result<int>> out;
  out.reserve(state_->prepared.size());
  for (const State::Prepared& one : state_->prepared) {
    const int code = one.done || one.value != 0 ? (one.value < 0 ? -one.value : 0) : refused;
    if (code == 0) {
      out.emplace_back(one.value);
    } else if (one.dir == nullptr) {
      out.emplace_back(fail(one.operation, "", code));
    } else {
      out.emplace_back(detail::failed(one.operation, *one.dir, one.name, code));
    }
  }
  state_->prepared.clear();
  state_->handed_over = 0;
  return out;
}

}  // namespace vskel::sys
