#include "engine/tree/walk.h"

#include <atomic>
#include <cerrno>
#include <mutex>
#include <unordered_map>

#include "engine/sys/stopping.h"
#include "engine/tree/task_group.h"

namespace vskel {

namespace {

bool has(std::uint8_t set, std::size_t layer) { return (set >> layer & 1U) != 0; }
std::uint8_t bit(std::size_t layer) { return static_cast<std::uint8_t>(1U << layer); }

/// Reads all layers and merges their names. From the highest layer down, so that the first to name something wins.
Result<> read_entries(WalkDirectory& directory) {
  std::unordered_map<std::string_view, std::size_t> seen;
  for (std::size_t layer = kMostLayers; layer-- > 0;) {
    if (!has(directory.in_layers, layer)) continue;
    directory.listings.push_back(TRY(Listing::read(directory.layers[layer])));
    const bool alone = directory.in_layers == bit(layer);
    for (const Listed& listed : directory.listings.back().entries()) {
      const auto known = alone ? seen.end() : seen.find(listed.name.view());
      if (known == seen.end()) {
        if (!alone) seen.emplace(listed.name.view(), directory.entries.size());
        directory.entries.push_back(
            {listed.name, listed.type, listed.inode, static_cast<std::uint8_t>(layer), bit(layer), 0});
        continue;
      }
      WalkEntry& winner = directory.entries[known->second];
      const bool merge = winner.type == sys::FileType::directory && listed.type == sys::FileType::directory;
      std::uint8_t& set = merge ? winner.in_layers : winner.hidden;
      set = static_cast<std::uint8_t>(set | bit(layer));
    }
  }
  return {};
}

}  // namespace

std::string WalkDirectory::path_to(Name name) const {
  std::string out;
  out.reserve(path.size() + 1 + name.view().size());
  if (!path.empty()) out.append(path).push_back('/');
  return out.append(name.view());
}

const DirFd& WalkDirectory::top() const {
  for (std::size_t layer = kMostLayers; layer-- > 0;)
    if (has(in_layers, layer)) return layers[layer];
  return layers[0];
}

struct Walk::State {
  Mounts mounts;
  const Visitor& visitor;
  /// Of each root that may have subvolumes below it, which RESOLVE_NO_XDEV lets pass; 0: has none.
  std::array<std::uint64_t, kMostLayers> devices;
  TaskGroup tasks;
  std::atomic<bool> stopped{false};
  std::mutex mutex;  ///< guards the two below
  std::optional<Error> error;
  std::vector<std::string> left_out;
};

Walk::Walk(Mounts mounts, const Visitor& visitor) : state_(new State{mounts, visitor, {}, {}, {}, {}, {}, {}}) {}
Walk::~Walk() = default;

bool Walk::stopped() const { return state_->stopped.load(std::memory_order_relaxed); }

void Walk::stop(Error error) {
  const std::scoped_lock lock(state_->mutex);
  if (!state_->error) state_->error = std::move(error);
  state_->stopped.store(true, std::memory_order_relaxed);
}

Result<std::vector<std::string>> Walk::run(const std::vector<const DirFd*>& layers, Mounts mounts,
                                           const std::shared_ptr<void>& root_context, const Visitor& visitor) {
  Walk walk(mounts, visitor);
  auto root = std::make_shared<WalkDirectory>();
  for (std::size_t layer = 0; layer < layers.size() && layer < kMostLayers; ++layer) {
    if (layers[layer] == nullptr) continue;
    root->layers[layer] = TRY(sys::reopen(*layers[layer]));
    root->in_layers = static_cast<std::uint8_t>(root->in_layers | bit(layer));
    const bool has_subvolumes = TRY(sys::file_system(*layers[layer])).type == "btrfs";
    if (mounts != Mounts::cross && has_subvolumes) walk.state_->devices[layer] = TRY(sys::stat(*layers[layer])).device;
  }
  walk.state_->tasks.run_and_wait([&] { walk.visit(root, root_context); });
  if (walk.state_->error) return std::unexpected(std::move(*walk.state_->error));
  return std::move(walk.state_->left_out);
}

void Walk::visit(const std::shared_ptr<WalkDirectory>& directory, std::shared_ptr<void> context) {
  if (auto asked = sys::may_go_on(); !asked) return stop(std::move(asked).error());
  if (auto read = read_entries(*directory); !read) {
    if (leaves_out(read.error().code)) return leave_out(directory->path);
    return stop(std::move(read).error());
  }
  if (auto visited = state_->visitor(*this, directory, std::move(context)); !visited) stop(std::move(visited).error());
}

Result<std::shared_ptr<WalkDirectory>> Walk::open_child(const WalkDirectory& parent, Name name,
                                                        std::uint8_t in_layers) {
  auto child = std::make_shared<WalkDirectory>();
  child->path = parent.path_to(name);
  if (parent.depth >= kDepthLimit || child->path.size() > kPathLimit) {
    if (state_->mounts != Mounts::stop_in_tenants_tree)
      return fail("walk", sys::path_of(parent.top()), "directories are nested deeper than 2048, or 64 KiB of path");
    leave_out(child->path);
    return child;
  }
  child->depth = parent.depth + 1;
  for (std::size_t layer = 0; layer < kMostLayers; ++layer) {
    if (!has(in_layers, layer)) continue;
    auto opened = open_in_layer(parent, layer, name);
    if (!opened && leaves_out(opened.error().code)) {
      leave_out(child->path);
      continue;
    }
    child->layers[layer] = TRY(std::move(opened));
    child->in_layers = static_cast<std::uint8_t>(child->in_layers | bit(layer));
  }
  return child;
}

Result<DirFd> Walk::open_in_layer(const WalkDirectory& parent, std::size_t layer, Name name) const {
  if (state_->mounts == Mounts::cross) return sys::open_dir_crossing(parent.layers[layer], name);
  DirFd dir = TRY(sys::open_dir(parent.layers[layer], name));
  const std::uint64_t device = state_->devices[layer];
  if (device != 0 && TRY(sys::stat(dir)).device != device) return fail("open", sys::path_of(dir), EXDEV);
  return dir;
}

bool Walk::leaves_out(int code) const {
  if (state_->mounts == Mounts::cross) return false;
  if (code == EXDEV) return true;
  // Beyond the descriptors that we may have, too: as many as a tenant nests directories side by side.
  const bool may_be_a_tenants_doing =
      code == ENOENT || code == ENOTDIR || code == ELOOP || code == EMFILE || code == ENFILE;
  return state_->mounts == Mounts::stop_in_tenants_tree && may_be_a_tenants_doing;
}

void Walk::leave_out(const std::string& path) {
  const std::scoped_lock lock(state_->mutex);
  // Bounded, since a tenant can have many and deep ones.
  constexpr std::size_t kMost = 1000;
  if (state_->left_out.size() < kMost) state_->left_out.push_back(path);
}

void Walk::descend(const std::shared_ptr<const WalkDirectory>& directory, const WalkEntry& entry,
                   std::shared_ptr<void> context) {
  // The task holds the parent, and with it the descriptors and the bytes of the name, until the child is open. It is
  // shared with itself because TBB wants a body that it may call as const.
  struct Task {
    std::shared_ptr<const WalkDirectory> parent;
    Name name;
    std::uint8_t in_layers;
    std::shared_ptr<void> context;
  };
  state_->tasks.run([this, task = std::make_shared<Task>(directory, entry.name, entry.in_layers, std::move(context))] {
    if (stopped()) return;
    auto child = open_child(*task->parent, task->name, task->in_layers);
    if (!child) return stop(std::move(child).error());
    task->parent.reset();
    if ((*child)->in_layers != 0) visit(*child, std::move(task->context));
  });
}

Result<> for_each_file(const DirFd& tree,
                       const std::function<Result<>(const WalkDirectory& directory, const WalkEntry& entry)>& visit) {
  const Visitor visitor = [&](Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                              std::shared_ptr<void>) -> Result<> {
    for (const WalkEntry& entry : directory->entries) {
      if (entry.type == sys::FileType::directory) {
        walk.descend(directory, entry, nullptr);
      } else {
        TRY(visit(*directory, entry));
      }
    }
    return {};
  };
  (void)TRY(Walk::run({&tree}, Mounts::stop, nullptr, visitor));
  return {};
}

}  // namespace vskel
