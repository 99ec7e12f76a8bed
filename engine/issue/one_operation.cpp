// The calls of each operation, one after the other.

#include "engine/issue/one_operation.h"

#include <cerrno>

namespace vskel {

namespace {

/// Data of a file with holes, extent by extent; the size is set first, so that a hole at the end is kept.
Result<> copy_sparse(const CopyFile& copy, const Fd& target) {
  TRY(sys::truncate(target, copy.size));
  for (std::uint64_t at = 0;;) {
    const auto extent = TRY(sys::next_data(*copy.source, at, copy.size));
    if (!extent) return {};
    TRY(sys::copy_range(*copy.source, target, extent->start, extent->end - extent->start));
    at = extent->end;
  }
}

Result<> fill(const CopyFile& copy, const Fd& target) {
  if (copy.by != CopyBy::data) {
    auto cloned = sys::clone(*copy.source, target);
    // ioctl_ficlonerange(2): other file systems, none that clones, or one that won't for these two files.
    const bool unable = !cloned && (cloned.error().code == EOPNOTSUPP || cloned.error().code == EXDEV ||
                                    cloned.error().code == EINVAL || cloned.error().code == ENOTTY);
    if (!unable || copy.by == CopyBy::clone) return cloned;
  }
  if (copy.blocks * 512 < copy.size) return copy_sparse(copy, target);
  return sys::copy_range(*copy.source, target, 0, copy.size);
}

/// One operation in one directory.
class Issuer {
 public:
  explicit Issuer(const DirFd& dir) : dir_(dir) {}

  Result<> operator()(const MakeDir& op) const { return sys::make_dir(dir_, op.name, op.mode); }
  Result<> operator()(const LinkName& op) const { return sys::link(*op.source_dir, op.source, dir_, op.name); }

  Result<> operator()(const MakeSymlink& op) const {
    TRY(sys::make_symlink(dir_, op.name, *op.target));
    return apply_metadata(dir_, op.name, sys::FileType::symlink, *op.metadata, Fresh::yes);
  }

  Result<> operator()(const MakeNode& op) const {
    TRY(sys::make_node(dir_, op.name, op.type, creation_mode(op.metadata->mode), op.rdev));
    return apply_metadata(dir_, op.name, op.type, *op.metadata, Fresh::yes);
  }

  Result<> operator()(const WriteFile& op) const {
    const Fd file = TRY(sys::create_file(dir_, op.name, creation_mode(op.metadata->mode)));
    TRY(sys::write_at(file, op.content, 0));
    return apply_metadata(file, *op.metadata, Fresh::yes);
  }

  Result<> operator()(const CopyFile& op) const {
    const Fd file = TRY(sys::create_file(dir_, op.name, creation_mode(op.metadata->mode)));
    TRY(fill(op, file));
    return apply_metadata(file, *op.metadata, Fresh::yes);
  }

  Result<> operator()(const SetDirectoryMetadata& op) const { return apply_metadata(dir_, *op.metadata, op.fresh); }

 private:
  const DirFd& dir_;
};

}  // namespace

Result<> issue_one(const Operation& operation, const DirFd& dir) { return std::visit(Issuer(dir), operation); }

}  // namespace vskel
