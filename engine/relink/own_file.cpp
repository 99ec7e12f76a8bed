#include "engine/relink/own_file.h"

#include "engine/content/hash.h"

namespace vskel {

Result<std::optional<OwnFile>> read_own_file(const DirFd& dir, Name name, std::size_t limit) {
  const auto stat = TRY(sys::stat_if_there(dir, name));
  if (!stat || stat->type != sys::FileType::regular) return std::nullopt;
  const Fd file = TRY(sys::open_file(dir, name));
  OwnFile own;
  own.stat = TRY(sys::stat(file));
  own.xattrs = TRY(sys::xattrs(file));
  own.bytes = TRY(sys::read_whole(file, limit));
  return own;
}

Step rewrite(const OwnFile& own, std::string path, std::string bytes) {
  Step step;
  step.kind = Step::Kind::put_over;
  step.change = Change::updated;
  step.proof = Proof::digest;
  step.elsewhere = std::make_unique<Step::Elsewhere>(std::move(path));
  step.mine = identity_of(own.stat);
  MadeFile& made = step.elsewhere->made.emplace();
  made.content = std::move(bytes);
  made.metadata = metadata_of(own.stat, own.xattrs);
  made.metadata.atime = made.metadata.mtime = sys::inode_clock();
  made.replaces = hex_of(*hash_bytes(std::as_bytes(std::span(own.bytes)), WithSha256::yes).sha256);
  return step;
}

Step new_file(std::string path, std::string bytes) {
  Step step;
  step.kind = Step::Kind::put_new;
  step.change = Change::added;
  step.elsewhere = std::make_unique<Step::Elsewhere>(std::move(path));
  MadeFile& made = step.elsewhere->made.emplace();
  made.content = std::move(bytes);
  made.metadata.mode = 0644;
  made.metadata.atime = made.metadata.mtime = sys::inode_clock();
  return step;
}

Step new_link(const sys::Stat* mine, std::string path, std::string target) {
  Step step = new_file(std::move(path), std::move(target));
  step.elsewhere->made->type = sys::FileType::symlink;
  if (mine == nullptr) return step;
  step.kind = Step::Kind::put_over;
  step.change = Change::updated;
  step.mine = identity_of(*mine);
  return step;
}

}  // namespace vskel
