// The link phase of create-vs against its roofline: the bare loop of the same calls (mkdirat, openat, linkat,
// symlinkat, utimensat, close) over a tree that is in memory already, with as many threads, a vserver each.
//
//   bench_link_phase --source /srv/debian-root --dir /vservers --count 20
//
// A skel is built from the source and its local and static parts emptied: what is left is what vservers share. The bare
// loop and the engine take turns on it. A mainline kernel lets nobody link sealed files, so both do without seals; the
// engine then does the same once more with them.

#include <fcntl.h>
#include <sys/stat.h>
#include <tbb/task_arena.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "engine/seal/reseal.h"
#include "engine/skel/build.h"
#include "engine/skel/populate.h"
#include "engine/tree/listing.h"
#include "engine/tree/remove.h"

namespace {

using namespace vskel;
using Clock = std::chrono::steady_clock;

struct Settings {
  std::string source, dir = ".";
  unsigned count = 20, rounds = 5, jobs = sys::usable_cpus();
  Backend backend = Backend::syscall;
  bool csv = false;
};

// --- the bare loop

struct BareSymlink {
  std::string name, target;
  std::array<timespec, 2> times;
};

struct BareDirectory {
  DirFd source;
  std::size_t parent;
  std::string name;
  mode_t mode;
  std::array<timespec, 2> times;
  std::vector<std::string> links;
  std::vector<BareSymlink> symlinks;
};

std::array<timespec, 2> times_of(const sys::Stat& stat) {
  const auto one = [](sys::Time time) { return timespec{time.seconds, static_cast<long>(time.nanoseconds)}; };
  return {one(stat.atime), one(stat.mtime)};
}

/// The whole tree, parents before their children.
class BareTree {
 public:
  static Result<BareTree> load(const DirFd& root) {
    BareTree tree;
    TRY(tree.add(TRY(sys::reopen(root)), 0, ""));
    return tree;
  }

  [[nodiscard]] std::size_t entries() const {
    std::size_t count = directories_.size() - 1;
    for (const BareDirectory& directory : directories_) count += directory.links.size() + directory.symlinks.size();
    return count;
  }

  /// 0 or errno.
  [[nodiscard]] int make(int root) const {
    std::vector<int> made;
    made.reserve(directories_.size());
    const auto close_all = [&made](int code) {
      for (const int fd : made) ::close(fd);
      return code;
    };
    for (const BareDirectory& directory : directories_) {
      if (made.empty()) {
        made.push_back(::dup(root));
      } else {
        const int parent = made[directory.parent];
        if (::mkdirat(parent, directory.name.c_str(), directory.mode) != 0) return close_all(errno);
        made.push_back(::openat(parent, directory.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      }
      const int dir = made.back();
      if (dir < 0) return close_all(errno);
      for (const std::string& name : directory.links)
        if (::linkat(directory.source.number(), name.c_str(), dir, name.c_str(), 0) != 0) return close_all(errno);
      for (const BareSymlink& symlink : directory.symlinks)
        if (::symlinkat(symlink.target.c_str(), dir, symlink.name.c_str()) != 0 ||
            ::utimensat(dir, symlink.name.c_str(), symlink.times.data(), AT_SYMLINK_NOFOLLOW) != 0)
          return close_all(errno);
    }
    for (std::size_t at = directories_.size(); at-- > 0;)
      if (::futimens(made[at], directories_[at].times.data()) != 0) return close_all(errno);
    return close_all(0);
  }

 private:
  Result<> add(DirFd dir, std::size_t parent, std::string name) {
    const sys::Stat stat = TRY(sys::stat(dir));
    const std::size_t own = directories_.size();
    directories_.push_back({std::move(dir), parent, std::move(name), stat.mode & 0777, times_of(stat), {}, {}});
    const Listing listing = TRY(Listing::read(directories_[own].source));
    for (const Listed& entry : listing.entries()) {
      std::string text(entry.name.view());
      if (entry.type == sys::FileType::directory) {
        TRY(add(TRY(sys::open_dir(directories_[own].source, entry.name)), own, std::move(text)));
      } else if (entry.type == sys::FileType::symlink) {
        const sys::Stat symlink = TRY(sys::stat(directories_[own].source, entry.name));
        std::string target = TRY(sys::read_link(directories_[own].source, entry.name));
        directories_[own].symlinks.push_back({std::move(text), std::move(target), times_of(symlink)});
      } else {
        directories_[own].links.push_back(std::move(text));
      }
    }
    return {};
  }

  std::deque<BareDirectory> directories_;
};

// --- both sides, on the same skel

class LinkPhase {
 public:
  LinkPhase(const Settings& settings, const DirFd& scratch, const Skel& skel, const BareTree& tree)
      : settings_(settings), scratch_(scratch), skel_(skel), tree_(tree), arena_(static_cast<int>(settings.jobs)) {}

  Result<double> bare() {
    const std::vector<DirFd> roots = TRY(make_roots());
    std::atomic<std::size_t> next{0};
    std::atomic<int> code{0};
    const auto start = Clock::now();
    {
      std::vector<std::jthread> threads;
      for (unsigned i = 0; i < settings_.jobs; ++i)
        threads.emplace_back([&] {
          for (std::size_t at = next++; at < roots.size() && code == 0; at = next++)
            if (const int failed = tree_.make(roots[at].number()); failed != 0) code = failed;
        });
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    TRY(remove_roots());
    if (code != 0) return fail("bare loop", "", code);
    return seconds;
  }

  Result<double> engine(SealKind seal, Executor& executor) {
    std::vector<DirFd> roots = TRY(make_roots());
    std::deque<Destination> destinations(roots.size());
    std::vector<Destination*> all;
    for (std::size_t at = 0; at < roots.size(); ++at) {
      destinations[at].root = std::move(roots[at]);
      all.push_back(&destinations[at]);
    }
    PopulateRequest request;
    request.skel = &skel_;
    request.seal = seal;
    request.executor = &executor;
    const auto start = Clock::now();
    TRY(arena_.execute([&] { return populate(request, all, settings_.jobs); }));
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    for (Destination& destination : destinations)
      if (destination.error) return std::unexpected(*destination.error);
    destinations.clear();
    TRY(remove_roots());
    return seconds;
  }

 private:
  static std::string name_of(unsigned number) { return "tree" + std::to_string(number); }

  Result<std::vector<DirFd>> make_roots() {
    std::vector<DirFd> roots;
    for (unsigned i = 0; i < settings_.count; ++i) {
      const std::string name = name_of(i);
      roots.push_back(TRY(sys::ensure_dir(scratch_, *Name::check(name), 0700)));
    }
    TRY(sys::sync_file_system(scratch_));
    return roots;
  }

  Result<> remove_roots() {
    for (unsigned i = 0; i < settings_.count; ++i) {
      const std::string name = name_of(i);
      TRY(arena_.execute([&] { return remove_tree(scratch_, *Name::check(name)); }));
    }
    return {};
  }

  const Settings& settings_;
  const DirFd& scratch_;
  const Skel& skel_;
  const BareTree& tree_;
  tbb::task_arena arena_;
};

Result<> empty(const DirFd& dir) {
  const DirFd position = TRY(sys::reopen(dir));
  const Listing listing = TRY(Listing::read(position));
  for (const Listed& entry : listing.entries()) TRY(remove_tree(dir, entry.name));
  return {};
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

void tell(const Settings& settings, const char* what, const BareTree& tree, const std::vector<double>& bare,
          const std::vector<double>& seconds) {
  std::vector<double> ratios;
  for (std::size_t at = 0; at < seconds.size(); ++at) ratios.push_back(bare[at] / seconds[at]);
  const auto [low, high] = std::ranges::minmax(ratios);
  const auto rate = static_cast<double>(tree.entries()) * settings.count / median(seconds);
  std::printf(settings.csv ? "%s,%.4f,%.4f,%.3f,%.3f,%.3f\n"
                           : "%-10s bare loop %.3f s, engine %.3f s: %.2f of its rate (%.2f to %.2f)",
              what, median(bare), median(seconds), median(ratios), low, high);
  if (!settings.csv) std::printf(", %.0f entries/s\n", rate);
}

Result<> measure(const Settings& settings, const DirFd& scratch) {
  const std::string path = sys::path_of(scratch);
  const Store store = TRY(Store::open_or_create({path + "/vservers", path + "/etc"}));
  const SkelName name = TRY(SkelName::parse("links"));
  BuildRequest build{.skel = name,
                     .source = settings.source,
                     .exclude = {},
                     .global = {},
                     .local = {},
                     .static_paths = {},
                     .keep = {},
                     .engine = {}};
  build.engine.jobs = settings.jobs;
  TRY(build_skel(store, build));
  const Skel skel = TRY(Skel::open(store, build.skel));
  TRY(empty(skel.tree(Part::local_part)));
  TRY(empty(skel.tree(Part::static_part)));
  const BareTree tree = TRY(BareTree::load(skel.tree(Part::global_part)));
  EngineOptions options;
  options.backend = settings.backend;
  // Below VSERVERS: links lead from the skel to nowhere outside of the clone of its mount.
  const auto executor = TRY(make_executor(options, store.staging()));
  LinkPhase phase(settings, store.staging(), skel, tree);
  std::vector<double> bare, open, sealed;
  for (unsigned round = 0; round <= settings.rounds; ++round) {
    TRY(unseal_staged(skel.tree(Part::global_part), skel.tree(Part::global_part)));
    const double of_bare = TRY(phase.bare());
    const double of_open = TRY(phase.engine(SealKind::none, *executor));
    const auto of_sealed = phase.engine(SealKind::immutable, *executor);
    if (round == 0) continue;  // warms the caches
    bare.push_back(of_bare);
    open.push_back(of_open);
    sealed.push_back(TRY(of_sealed));
  }
  if (!settings.csv)
    std::printf("%u trees of %zu entries, %u threads, median of %u rounds\n", settings.count, tree.entries(),
                settings.jobs, settings.rounds);
  tell(settings, "unsealed", tree, bare, open);
  tell(settings, "immutable", tree, bare, sealed);
  return {};
}

Result<> run(const Settings& settings) {
  const DirFd where = TRY(sys::open_root(settings.dir));
  const std::string name = ".vskel-links." + std::to_string(sys::own_pid());
  Result<> outcome;
  {
    const DirFd scratch = TRY(sys::ensure_dir(where, *Name::check(name), 0700));
    outcome = measure(settings, scratch);
  }
  tbb::task_arena arena(static_cast<int>(settings.jobs));
  auto removed = arena.execute([&] { return remove_tree(where, *Name::check(name)); });
  return outcome ? removed : outcome;
}

}  // namespace

int main(int count, char** arguments) {
  Settings settings;
  bool uring = false;
  CLI::App app("The link phase of create-vs against the bare loop of the same calls");
  app.add_option("--source", settings.source, "A root to build the skel from")->required();
  app.add_option("--dir", settings.dir, "Where to measure [.]");
  app.add_option("--count", settings.count, "Vservers [20]")->check(CLI::PositiveNumber);
  app.add_option("--rounds", settings.rounds, "After one to warm up [5]")->check(CLI::PositiveNumber);
  app.add_option("-j,--jobs", settings.jobs, "Threads [the CPUs]")->check(CLI::PositiveNumber);
  app.add_flag("--uring", uring, "The engine's side by io_uring");
  app.add_flag("--csv", settings.csv, "seal,bare_s,engine_s,ratio,lowest,highest");
  CLI11_PARSE(app, count, arguments);
  if (uring) settings.backend = Backend::uring;
  sys::engine_start();
  const auto done = run(settings);
  if (!done) std::fprintf(stderr, "bench_link_phase: %s\n", done.error().line().c_str());
  return done ? 0 : 1;
}
