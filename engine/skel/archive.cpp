// libarchive parses, the kernel room writes. An archive is a stranger's text: a name is taken apart and every component checked, directories are opened one by one without following, so that a
// symlink that the archive planted earlier stops the path (ELOOP) instead of leading it out.

#include "engine/skel/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <memory>

#include "engine/tree/metadata.h"

namespace vskel {

namespace {

constexpr std::size_t kDeepest = 2048, kReadSize = 256 * 1024;

/// What libarchive reads from, and what its callback found wrong.
struct Input {
  const Fd& file;
  std::vector<std::byte> buffer = std::vector<std::byte>(kReadSize);
  std::optional<Error> error;
};

la_ssize_t read_callback(archive* reader, void* data, const void** block) {
  Input& input = *static_cast<Input*>(data);
  auto got = sys::read_some(input.file, input.buffer);
  if (!got) {
    archive_set_error(reader, got.error().code, "read");
    input.error = std::move(got).error();
    return ARCHIVE_FATAL;
  }
  *block = input.buffer.data();
  return static_cast<la_ssize_t>(*got);
}

using Reader = std::unique_ptr<archive, int (*)(archive*)>;

/// The components of an archive's name; nullopt if it is absolute, has "..", or is too long or deep. "./" and a trailing slash are common and mean nothing.
std::optional<std::vector<std::string>> split(std::string_view path) {
  if (path.starts_with('/')) return std::nullopt;
  std::vector<std::string> out;
  while (!path.empty()) {
    const std::string component(path.substr(0, path.find('/')));
    path.remove_prefix(std::min(path.size(), component.size() + 1));
    if (component.empty() || component == ".") continue;
    if (!Name::check(component) || out.size() == kDeepest) return std::nullopt;
    out.push_back(component);
  }
  return out;
}

/// POSIX ACLs as the kernel has them in system.posix_acl_*: linux/posix_acl_xattr.h, a version and entries of tag, permissions, id, little endian.
std::optional<sys::Xattr> acl_xattr(archive_entry* entry, int type, const char* name) {
  if (archive_entry_acl_reset(entry, type) == 0) return std::nullopt;
  struct Ace {
    std::uint16_t tag, permissions;
    std::uint32_t id;
    auto operator<=>(const Ace&) const = default;
  };
  constexpr std::uint32_t kNoId = 0xffffffff;
  std::vector<Ace> aces;
  int got_type = 0, permset = 0, tag = 0, id = 0;
  const char* qualifier = nullptr;
  while (archive_entry_acl_next(entry, type, &got_type, &permset, &tag, &id, &qualifier) == ARCHIVE_OK) {
    std::uint16_t kind = 0;
    switch (tag) {
      case ARCHIVE_ENTRY_ACL_USER_OBJ: kind = 0x01; break;
      case ARCHIVE_ENTRY_ACL_USER: kind = 0x02; break;
      case ARCHIVE_ENTRY_ACL_GROUP_OBJ: kind = 0x04; break;
      case ARCHIVE_ENTRY_ACL_GROUP: kind = 0x08; break;
      case ARCHIVE_ENTRY_ACL_MASK: kind = 0x10; break;
      case ARCHIVE_ENTRY_ACL_OTHER: kind = 0x20; break;
      default: continue;
    }
    const bool named = kind == 0x02 || kind == 0x08;
    aces.push_back({kind, static_cast<std::uint16_t>(permset & 7), named ? static_cast<std::uint32_t>(id) : kNoId});
  }
  const bool only_mode = aces.size() <= 3 && type == ARCHIVE_ENTRY_ACL_TYPE_ACCESS;
  if (aces.empty() || only_mode) return std::nullopt;
  std::ranges::sort(aces);
  std::string value("\2\0\0\0", 4);
  const auto append = [&](std::uint32_t number, int bytes) {
    for (int at = 0; at < bytes; ++at) value.push_back(static_cast<char>(number >> (8 * at) & 0xff));
  };
  for (const Ace& ace : aces) {
    append(ace.tag, 2);
    append(ace.permissions, 2);
    append(ace.id, 4);
  }
  return sys::Xattr{name, std::move(value)};
}

sys::Time time_of(std::int64_t seconds, long nanoseconds) { return {seconds, static_cast<std::uint32_t>(std::clamp(nanoseconds, 0L, 999'999'999L))}; }

Metadata metadata_of_entry(archive_entry* entry) {
  Metadata out;
  out.mode = archive_entry_perm(entry) & 07777U;
  out.uid = static_cast<std::uint32_t>(archive_entry_uid(entry));
  out.gid = static_cast<std::uint32_t>(archive_entry_gid(entry));
  out.mtime = time_of(archive_entry_mtime(entry), archive_entry_mtime_nsec(entry));
  out.atime = archive_entry_atime_is_set(entry) != 0 ? time_of(archive_entry_atime(entry), archive_entry_atime_nsec(entry)) : out.mtime;
  archive_entry_xattr_reset(entry);
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK)
    out.xattrs.push_back({name, std::string(static_cast<const char*>(value), size)});
  const auto add_acl = [&](int type, const char* acl_name) {
    auto acl = acl_xattr(entry, type, acl_name);
    const auto same = [&](const sys::Xattr& xattr) { return xattr.name == acl_name; };
    if (acl && std::ranges::none_of(out.xattrs, same)) out.xattrs.push_back(std::move(*acl));
  };
  add_acl(ARCHIVE_ENTRY_ACL_TYPE_ACCESS, "system.posix_acl_access");
  add_acl(ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, "system.posix_acl_default");
  std::ranges::sort(out.xattrs);
  return out;
}

class Unpacker {
 public:
  Unpacker(archive* reader, const std::string& source, const DirFd& target) : reader_(reader), source_(source), target_(target) {}

  Result<> unpack_one(archive_entry* entry) {
    const char* const raw = archive_entry_pathname(entry);
    if (raw == nullptr) return bad("", "an entry without a name");
    path_ = raw;
    const auto components = split(path_);
    if (!components) return bad(path_, "a name must be relative, without \"..\", of at most 255 bytes a component and 2048 levels");
    ++report_.entries;
    if (components->empty()) return archive_entry_filetype(entry) == AE_IFDIR ? note_dir("", entry) : bad(path_, "an entry without a name");
    const DirFd dir = TRY(open_parents(*components));
    const Name name = *Name::check(components->back());
    std::string relative;
    for (const std::string& component : *components) relative.append(relative.empty() ? "" : "/").append(component);
    if (const char* link = archive_entry_hardlink(entry)) return make_hard_link(dir, name, link);
    return make(dir, name, relative, entry);
  }

  /// Deepest first, so that a directory's times are set when nothing below it changes any more.
  Result<UnpackReport> finish() {
    for (auto at = directories_.rbegin(); at != directories_.rend(); ++at) {
      const DirFd dir = TRY(sys::open_dirs(target_, at->first));
      TRY(apply_metadata(dir, at->second, Fresh::no));
    }
    return std::move(report_);
  }

 private:
  [[nodiscard]] std::unexpected<Error> bad(const std::string& name, std::string why) const {
    return fail("read archive", source_ + (name.empty() ? "" : ": " + name), std::move(why));
  }

  Result<DirFd> open_parents(const std::vector<std::string>& components) {
    DirFd dir = TRY(sys::reopen(target_));
    for (std::size_t at = 0; at + 1 < components.size(); ++at) {
      auto next = sys::ensure_dir(dir, *Name::check(components[at]), 0755);
      if (!next) {
        const int code = next.error().code;
        if (code == ELOOP || code == ENOTDIR) return bad(path_, "leads through " + components[at] + ", which is no directory");
        return std::unexpected(std::move(next).error());
      }
      dir = std::move(*next);
    }
    return dir;
  }

  Result<> note_dir(const std::string& relative, archive_entry* entry) {
    directories_[relative] = metadata_of_entry(entry);
    return {};
  }

  Result<> make_hard_link(const DirFd& dir, Name name, const char* link) {
    const auto components = split(link);
    if (!components || components->empty()) return bad(path_, "a hard link out of the archive: " + std::string(link));
    const DirFd source = TRY(open_parents(*components));
    const Name source_name = *Name::check(components->back());
    const auto stat = TRY(sys::stat_if_there(source, source_name));
    if (!stat || stat->type == sys::FileType::directory) return bad(path_, "a hard link to " + std::string(link) + ", which is not in the archive before it");
    return doubled(sys::link(source, source_name, dir, name));
  }

  /// An archive that names a path twice is not one that anybody meant.
  Result<> doubled(Result<> made) const {
    if (!made && made.error().code == EEXIST) return bad(path_, "stands in the archive twice");
    return made;
  }

  Result<> make(const DirFd& dir, Name name, const std::string& relative, archive_entry* entry) {
    const Metadata metadata = metadata_of_entry(entry);
    const std::uint64_t rdev = makedev(static_cast<unsigned>(archive_entry_rdevmajor(entry)), static_cast<unsigned>(archive_entry_rdevminor(entry)));
    const auto make_node = [&](sys::FileType type) -> Result<> {
      TRY(doubled(sys::make_node(dir, name, type, creation_mode(metadata.mode), rdev)));
      return apply_metadata(dir, name, type, metadata, Fresh::yes);
    };
    switch (archive_entry_filetype(entry)) {
      case AE_IFDIR: {
        auto made = sys::ensure_dir(dir, name, 0755);
        if (!made) return bad(path_, "stands in the archive twice");
        return note_dir(relative, entry);
      }
      case AE_IFREG: return make_file(dir, name, metadata, entry);
      case AE_IFLNK: {
        const char* const target = archive_entry_symlink(entry);
        if (target == nullptr || *target == '\0') return bad(path_, "a symlink without a target");
        TRY(doubled(sys::make_symlink(dir, name, target)));
        return apply_metadata(dir, name, sys::FileType::symlink, metadata, Fresh::yes);
      }
      case AE_IFIFO: return make_node(sys::FileType::fifo);
      case AE_IFCHR: return make_node(sys::FileType::character);
      case AE_IFBLK: return make_node(sys::FileType::block);
      default: report_.notes.push_back("/" + relative + ": a socket, left out"); return {};
    }
  }

  Result<> make_file(const DirFd& dir, Name name, const Metadata& metadata, archive_entry* entry) {
    auto created = sys::create_file(dir, name, 0600);
    if (!created && created.error().code == EEXIST) return bad(path_, "stands in the archive twice");
    const Fd file = TRY(std::move(created));
    const void* block = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    for (;;) {
      const int status = archive_read_data_block(reader_, &block, &size, &offset);
      if (status == ARCHIVE_EOF) break;
      if (status != ARCHIVE_OK) return bad(path_, archive_error_string(reader_) != nullptr ? archive_error_string(reader_) : "damaged");
      TRY(sys::write_at(file, {static_cast<const std::byte*>(block), size}, static_cast<std::uint64_t>(offset)));
    }
    // A hole at the end has no block of its own.
    const auto whole = static_cast<std::uint64_t>(archive_entry_size(entry));
    if (TRY(sys::stat(file)).size != whole) TRY(sys::truncate(file, whole));
    return apply_metadata(file, metadata, Fresh::no);
  }

  archive* reader_;
  const std::string& source_;
  const DirFd& target_;
  std::string path_;  ///< as the archive spells it, for messages
  std::map<std::string, Metadata> directories_;
  UnpackReport report_;
};

}  // namespace

Result<UnpackReport> unpack_archive(const Fd& input, const std::string& source, const DirFd& target) {
  const Reader reader(archive_read_new(), archive_read_free);
  if (reader == nullptr) throw std::bad_alloc();
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_filter_xz(reader.get());
  archive_read_support_filter_zstd(reader.get());
  archive_read_support_format_tar(reader.get());
  Input from{input, std::vector<std::byte>(kReadSize), {}};
  const auto broken = [&]() -> Result<UnpackReport> {
    if (from.error) return std::unexpected(std::move(*from.error));
    const char* const text = archive_error_string(reader.get());
    return fail("read archive", source, std::string(text != nullptr ? text : "not a tar archive"));
  };
  if (archive_read_open2(reader.get(), &from, nullptr, read_callback, nullptr, nullptr) != ARCHIVE_OK) return broken();
  Unpacker unpacker(reader.get(), source, target);
  for (;;) {
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(reader.get(), &entry);
    if (status == ARCHIVE_EOF) break;
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN) return broken();
    TRY(unpacker.unpack_one(entry));
  }
  return unpacker.finish();
}

}  // namespace vskel
