#include "engine/measure/work.h"

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <functional>
#include <mutex>
#include <thread>

#include "engine/content/compare.h"
#include "engine/content/hash.h"
#include "engine/issue/executor.h"
#include "engine/sys/bare.h"
#include "engine/sys/ring.h"
#include "engine/tree/arena.h"
#include "engine/tree/walk.h"

namespace vskel::measure {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

const Metadata kFileMetadata{0644, 0, 0, {1, 0}, {1, 0}, {}};

Result<> outcome_of(int code, Work work) {
  if (code == 0) return {};
  return fail("measure " + std::string(name_of(work)), "", code);
}

/// What one thread works with.
struct Worker {
  std::unique_ptr<Executor> executor;
  std::unique_ptr<sys::Ring> ring;
  std::vector<std::byte> buffer = std::vector<std::byte>(sys::Ring::kWindow * kFileBytes);
};

Result<Worker> make_worker(Way way) {
  Worker worker;
  worker.executor = way == Way::uring ? TRY(make_uring_executor()) : make_syscall_executor();
  if (way == Way::uring) worker.ring = TRY(sys::Ring::open());
  return worker;
}

/// One work in one directory of the sample, in one way.
class DirectoryWork {
 public:
  DirectoryWork(const Sample& sample, std::size_t at, Worker& worker) : sample_(sample), at_(at), worker_(worker) {}

  Result<> prepare(Work work) const {
    if (work != Work::replace) return {};
    // Another inode than the one that will replace it: rename(2) does nothing to two names of one inode.
    const std::vector<Name>& names = sample_.names();
    for (std::size_t i = 0; i < names.size(); ++i)
      TRY(sys::link(source(), names[(i + 2) % names.size()], target(), names[i]));
    return {};
  }

  Result<> clean(Work work) const {
    const bool leaves = work == Work::link || work == Work::copy || work == Work::clone || work == Work::replace;
    for (const Name name : leaves ? sample_.names() : std::vector<Name>()) {
      TRY(sys::unlink_if_there(target(), name));
      if (work == Work::replace) TRY(sys::unlink_if_there(stage(), name));
    }
    return {};
  }

  Result<> raw(Work work) const {
    const std::vector<Name>& names = sample_.names();
    const std::span<std::byte> buffer(worker_.buffer.data(), kFileBytes);
    switch (work) {
      case Work::walk:
        return outcome_of(sys::bare::list(sample_.sources(), sample_.directory_name(at_)), work);
      case Work::stat:
        return outcome_of(sys::bare::stat(source(), names), work);
      case Work::link:
        return outcome_of(sys::bare::link(source(), target(), names), work);
      case Work::copy:
        return outcome_of(sys::bare::copy(target(), names, sample_.content()), work);
      case Work::clone:
        return outcome_of(sys::bare::clone(source(), target(), names), work);
      case Work::seal:
        return outcome_of(sys::bare::seal(source(), names), work);
      case Work::hash:
      case Work::compare:
        return outcome_of(sys::bare::read(source(), names, buffer), work);
      case Work::replace:
        return outcome_of(sys::bare::replace(source(), stage(), target(), names), work);
    }
    return {};
  }

  Result<> engine(Work work) const {
    switch (work) {
      case Work::walk:
        return {};  // not by directories, see walk_once()
      case Work::stat:
        return worker_.ring ? stat_by_ring() : stat_by_calls();
      case Work::link:
        return issue([&](Name name) { return LinkName{name, &source(), name}; });
      case Work::copy:
        return issue([&](Name name) { return WriteFile{name, sample_.content(), &kFileMetadata}; });
      case Work::clone:
        return clone();
      case Work::seal:
        return seal();
      case Work::hash:
        return worker_.ring ? read_by_ring(1, [](auto bytes) { keep(hash_of(bytes)); }) : hash_by_calls();
      case Work::compare:
        return worker_.ring ? read_by_ring(2, compare_halves) : compare_by_calls();
      case Work::replace:
        return worker_.ring ? replace_by_ring() : replace_by_calls();
    }
    return {};
  }

 private:
  [[nodiscard]] const DirFd& source() const { return sample_.source(at_); }
  [[nodiscard]] const DirFd& target() const { return sample_.target(at_); }
  [[nodiscard]] const DirFd& stage() const { return sample_.stage(at_); }

  static Hash128 hash_of(std::span<const std::byte> bytes) { return hash_bytes(bytes, WithSha256::no).xxh128; }
  /// So that the compiler does not leave out what nobody looks at.
  static void keep(const Hash128& hash) { asm volatile("" : : "g"(&hash) : "memory"); }
  static void compare_halves(std::span<const std::byte> both) {
    const int order = std::memcmp(both.data(), both.data() + kFileBytes, kFileBytes);
    asm volatile("" : : "g"(order) : "memory");
  }

  Result<> issue(const std::function<Operation(Name)>& operation_for) const {
    std::vector<Operation> operations;
    operations.reserve(sample_.names().size());
    for (const Name name : sample_.names()) operations.push_back(operation_for(name));
    return issue(operations);
  }

  Result<> issue(std::span<const Operation> operations) const {
    Results results = worker_.executor->issue({&target(), operations}, OnFailure::stop);
    if (results.failures.empty()) return {};
    return std::unexpected(std::move(results.failures[0].error));
  }

  Result<> stat_by_calls() const {
    for (const Name name : sample_.names()) TRY(sys::stat(source(), name));
    return {};
  }

  Result<> stat_by_ring() const {
    return in_windows(sys::Ring::kWindow, [this](std::span<const Name> names) -> Result<> {
      for (const Name name : names) worker_.ring->stat(source(), name);
      return finish();
    });
  }

  Result<> clone() const {
    return in_windows(32, [this](std::span<const Name> names) -> Result<> {
      std::vector<Fd> files;
      for (const Name name : names) files.push_back(TRY(sys::open_trusted_file(source(), name)));
      std::vector<Operation> operations;
      for (std::size_t i = 0; i < names.size(); ++i)
        operations.emplace_back(
            CopyFile{names[i], &files[i], kFileBytes, kFileBytes / 512, CopyBy::clone, &kFileMetadata});
      return issue(operations);
    });
  }

  Result<> seal() const {
    for (const Name name : sample_.names()) {
      TRY(sys::change_flags(source(), name, sys::kImmutableFlag, 0));
      TRY(sys::change_flags(source(), name, 0, sys::kImmutableFlag));
    }
    return {};
  }

  Result<> hash_by_calls() const {
    for (const Name name : sample_.names()) {
      const Fd file = TRY(sys::open_trusted_file(source(), name));
      keep(TRY(hash_file(file, WithSha256::no)).xxh128);
    }
    return {};
  }

  Result<> compare_by_calls() const {
    const std::vector<Name>& names = sample_.names();
    for (std::size_t i = 0; i + 1 < names.size(); i += 2) {
      const Fd a = TRY(sys::open_trusted_file(source(), names[i]));
      const Fd b = TRY(sys::open_trusted_file(source(), names[i + 1]));
      TRY(compare_content(a, b, kFileBytes));
    }
    return {};
  }

  /// A window of files opened, read and closed together; `use` gets the bytes of `group` files at a time.
  template <class Use>
  Result<> read_by_ring(std::size_t group, Use use) const {
    return in_windows(sys::Ring::kWindow, [&](std::span<const Name> names) -> Result<> {
      for (const Name name : names) worker_.ring->open_trusted_file(source(), name);
      std::vector<Fd> files;
      std::optional<Error> refused;
      for (auto& opened : worker_.ring->finish()) {
        if (opened) files.emplace_back(*opened);
        if (!opened) refused = std::move(opened).error();
      }
      if (refused) return std::unexpected(std::move(*refused));
      const std::span<std::byte> buffer(worker_.buffer);
      for (std::size_t i = 0; i < files.size(); ++i)
        worker_.ring->read(files[i], buffer.subspan(i * kFileBytes, kFileBytes), 0);
      TRY(finish());
      for (Fd& file : files) worker_.ring->close(std::move(file));
      TRY(finish());
      for (std::size_t i = 0; i + group <= files.size(); i += group)
        use(buffer.subspan(i * kFileBytes, group * kFileBytes));
      return {};
    });
  }

  Result<> replace_by_calls() const {
    for (const Name name : sample_.names()) {
      TRY(sys::link(source(), name, stage(), name));
      TRY(sys::exchange(stage(), name, target(), name));
      TRY(sys::unlink(stage(), name));
    }
    return {};
  }

  Result<> replace_by_ring() const {
    return in_windows(sys::Ring::kWindow, [this](std::span<const Name> names) -> Result<> {
      for (const Name name : names) worker_.ring->link(source(), name, stage(), name);
      TRY(finish());
      for (const Name name : names) worker_.ring->exchange(stage(), name, target(), name);
      TRY(finish());
      for (const Name name : names) worker_.ring->unlink(stage(), name);
      return finish();
    });
  }

  template <class Use>
  Result<> in_windows(std::size_t size, Use use) const {
    std::span<const Name> left(sample_.names());
    while (!left.empty()) {
      const auto window = left.first(std::min(size, left.size()));
      TRY(use(window));
      left = left.subspan(window.size());
    }
    return {};
  }

  Result<> finish() const {
    for (auto& done : worker_.ring->finish())
      if (!done) return std::unexpected(std::move(done).error());
    return {};
  }

  const Sample& sample_;
  const std::size_t at_;
  Worker& worker_;
};

/// How often one pass goes over the sample: what takes a millisecond or two and leaves nothing behind is repeated until
/// the start of a thread no longer counts.
std::size_t repeats(Work work) {
  switch (work) {
    case Work::walk:
      return 16;
    case Work::stat:
      return 8;
    case Work::hash:
    case Work::compare:
      return 2;
    default:
      return 1;
  }
}

/// Has `threads` threads call `use` for every directory, `times` times over, each with its own worker; gives the
/// seconds from the first call to the end of the last, or the first error.
Result<double> in_threads(const Sample& sample, Way way, unsigned threads, std::size_t times,
                          const std::function<Result<>(const DirectoryWork&)>& use) {
  const std::size_t all = kDirectories * times;
  std::atomic<std::size_t> next{0};
  std::mutex mutex;  // guards the two below
  Result<> outcome;
  Clock::time_point last_end;
  // Told by the last thread that is ready, before any begins: the waiting thread might be woken when all is done.
  Clock::time_point start;
  std::barrier together(static_cast<std::ptrdiff_t>(threads), [&start]() noexcept { start = Clock::now(); });
  {
    std::vector<std::jthread> running;
    for (unsigned i = 0; i < threads; ++i)
      running.emplace_back([&] {
        auto worker = make_worker(way);
        Result<> own = worker ? Result<>() : std::unexpected(worker.error());
        together.arrive_and_wait();
        while (own) {
          const std::size_t at = next.fetch_add(1);
          if (at >= all) break;
          own = use(DirectoryWork(sample, at % kDirectories, *worker));
        }
        const auto end = Clock::now();
        if (!own) next = all;
        const std::lock_guard guard(mutex);
        last_end = std::max(last_end, end);
        if (!own && outcome) outcome = std::move(own);
      });
  }
  TRY(std::move(outcome));
  return std::chrono::duration<double>(last_end - start).count();
}

/// The engine's walk; it shares directories out by itself.
Result<Pass> walk_once(const Sample& sample, unsigned threads) {
  std::atomic<std::size_t> entries{0};
  const Visitor visitor = [&](Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                              const std::shared_ptr<void>&) -> Result<> {
    for (const WalkEntry& entry : directory->entries)
      if (entry.type == sys::FileType::directory) walk.descend(directory, entry, nullptr);
    entries += directory->entries.size();
    return {};
  };
  Arena arena(static_cast<int>(threads));
  arena.initialize();
  const auto start = Clock::now();
  for (std::size_t i = 0; i < repeats(Work::walk); ++i)
    TRY(arena.execute([&] { return Walk::run({&sample.sources()}, Mounts::stop, nullptr, visitor); }));
  return Pass{seconds_since(start), entries};
}

}  // namespace

std::string_view name_of(Work work) {
  switch (work) {
    case Work::walk:
      return "walk";
    case Work::stat:
      return "stat";
    case Work::link:
      return "link";
    case Work::copy:
      return "copy";
    case Work::clone:
      return "clone";
    case Work::seal:
      return "seal";
    case Work::hash:
      return "hash";
    case Work::compare:
      return "compare";
    case Work::replace:
      return "replace";
  }
  return "";
}

std::string_view name_of(Way way) { return way == Way::raw ? "raw" : way == Way::syscall ? "syscall" : "uring"; }

bool has_way(Work work, Way way) {
  return way != Way::uring || (work != Work::walk && work != Work::clone && work != Work::seal);
}

Result<Pass> measure_once(const Sample& sample, Work work, Way way, unsigned threads) {
  if (work == Work::walk && way != Way::raw) return walk_once(sample, threads);
  TRY(in_threads(sample, Way::raw, threads, 1,
                 [work](const DirectoryWork& directory) { return directory.prepare(work); }));
  auto seconds = in_threads(sample, way, threads, repeats(work), [&](const DirectoryWork& directory) {
    return way == Way::raw ? directory.raw(work) : directory.engine(work);
  });
  TRY(in_threads(sample, Way::raw, threads, 1,
                 [work](const DirectoryWork& directory) { return directory.clean(work); }));
  const std::size_t operations = work == Work::walk      ? kFiles + kDirectories
                                 : work == Work::compare ? kFiles / 2
                                                         : kFiles;
  const double took = TRY(std::move(seconds));
  return Pass{took, operations * repeats(work)};
}

bool says_unsupported(const Error& error) {
  return error.code == EOPNOTSUPP || error.code == ENOTTY || error.code == EXDEV || error.code == ENOSYS;
}

}  // namespace vskel::measure
