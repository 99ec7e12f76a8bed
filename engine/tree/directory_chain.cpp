#include "engine/tree/directory_chain.h"

#include <algorithm>
#include <cerrno>

namespace vskel {

namespace {

bool is_on_the_way(std::string_view outer, std::string_view path) {
  return path.starts_with(outer) && (path.size() == outer.size() || path[outer.size()] == '/');
}

}  // namespace

Result<const DirFd*> DirectoryChain::open(std::string_view path) {
  while (!levels_.empty() && !is_on_the_way(levels_.back().path, path)) levels_.pop_back();
  while (levels_.size() < kMostLevels) {
    const std::size_t done = levels_.empty() ? 0 : levels_.back().path.size() + 1;
    const DirFd& outer = levels_.empty() ? root_ : levels_.back().dir;
    if (done > path.size() || path.empty()) return &outer;
    const std::string component(path.substr(done, path.find('/', done) - done));
    const auto name = Name::check(component);
    if (!name) return fail("open", sys::path_of(outer), EINVAL);
    levels_.push_back({std::string(path.substr(0, done + component.size())), TRY(sys::open_dir(outer, *name))});
  }
  const Level& last = levels_.back();
  if (last.path.size() == path.size()) return &last.dir;
  deep_ = TRY(sys::open_dirs(last.dir, path.substr(last.path.size() + 1)));
  return &deep_;
}

}  // namespace vskel
