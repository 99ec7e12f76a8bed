#include "engine/measure/sample.h"

#include <string_view>

#include "engine/sys/processes.h"
#include "engine/tree/listing.h"
#include "engine/tree/remove.h"

namespace vskel::measure {

namespace {

constexpr std::string_view kPrefix = ".vskel-bench.";

/// What killed processes left. A directory of that name that is not root's is none of ours.
Result<> sweep(const DirFd& where) {
  const DirFd own_position = TRY(sys::reopen(where));
  const Listing listing = TRY(Listing::read(own_position));
  for (const Listed& found : listing.entries()) {
    if (found.type != sys::FileType::directory || !found.name.view().starts_with(kPrefix)) continue;
    const DirFd left = TRY(sys::open_dir(where, found.name));
    const sys::Stat stat = TRY(sys::stat(left));
    if (stat.uid != 0 || (stat.mode & 077) != 0) continue;
    const Fd lock = TRY(sys::open_or_create(left, "lock", 0600));
    if (TRY(sys::lock_exclusive(lock, sys::Wait::no))) TRY(remove_tree(where, found.name));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Sample>> Sample::make(const DirFd& where) {
  TRY(sweep(where));
  std::unique_ptr<Sample> made(new Sample);
  made->where_ = TRY(sys::reopen(where));
  made->name_ = std::string(kPrefix) + std::to_string(sys::own_pid());
  const Name name = *Name::check(made->name_);
  TRY(sys::make_dir(where, name, 0700));
  made->root_ = TRY(sys::open_dir(where, name));
  TRY(made->fill());
  return made;
}

Sample::~Sample() { (void)remove(); }

Result<> Sample::remove() {
  if (!root_.open()) return {};
  root_ = DirFd();
  return remove_tree(where_, *Name::check(name_));
}

Result<> Sample::fill() {
  lock_ = TRY(sys::open_or_create(root_, "lock", 0600));
  if (!TRY(sys::lock_exclusive(lock_, sys::Wait::no))) return refuse("measure", name_, "held by another process");
  const auto name_of = [this](std::size_t number) { return *Name::check(texts_.emplace_back(std::to_string(number))); };
  for (std::size_t i = 0; i < kDirectories; ++i) directory_names_.push_back(name_of(i));
  for (std::size_t i = 0; i < kFilesEach; ++i) names_.push_back(name_of(1000 + i));
  content_.resize(kFileBytes);
  for (std::size_t i = 0; i < content_.size(); ++i) content_[i] = static_cast<std::byte>(i * 7 + i / 256);
  sources_ = TRY(sys::ensure_dir(root_, "source", 0700));
  const DirFd targets = TRY(sys::ensure_dir(root_, "target", 0700));
  const DirFd stages = TRY(sys::ensure_dir(root_, "stage", 0700));
  for (std::size_t d = 0; d < kDirectories; ++d) {
    source_.push_back(TRY(sys::ensure_dir(sources_, directory_names_[d], 0700)));
    target_.push_back(TRY(sys::ensure_dir(targets, directory_names_[d], 0700)));
    stage_.push_back(TRY(sys::ensure_dir(stages, directory_names_[d], 0700)));
    for (std::size_t f = 0; f < kFilesEach; ++f) {
      content_[0] = static_cast<std::byte>(f / 2);
      const Fd file = TRY(sys::create_file(source_[d], names_[f], 0644));
      TRY(sys::write_at(file, content_, 0));
    }
  }
  return {};
}

}  // namespace vskel::measure
