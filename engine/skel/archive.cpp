// libarchive parses, the kernel room writes. An archive is a stranger's text: its names are taken apart and every
// component checked, and directories are opened one by one without following, so that a symlink that the archive
// planted earlier stops a path (ELOOP) instead of leading it out.
//
// Relies on nobody else writing in the target meanwhile: the directories on the way to the last entry are kept open.
// Names of owners are not looked at, numbers only, but in ACLs, where GNU tar writes nothing but names: those are
// looked up in the archive's own etc/passwd and etc/group, never in the host's. Inode flags (chattr) are not taken
// over.
//
// In pax headers libarchive loses the sign of the fraction: "-1.5" comes back as -1 s and 500 ms. It is read here as
// POSIX means it and GNU tar writes it; bsdtar writes "-2.5" for the same time, and is one second off before 1970.

#include "engine/skel/archive.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "engine/skel/posix_acl.h"
#include "engine/sys/stopping.h"
#include "engine/tree/metadata.h"

namespace vskel {

namespace {

constexpr std::size_t kDeepest = 2048, kReadSize = 256 * 1024, kMostOpenDirs = 64, kMostNotes = 1000;
constexpr std::size_t kMostAccounts = 16 << 20;
constexpr const char* kOperation = "read archive";
constexpr const char* kAccessAcl = "system.posix_acl_access";
constexpr const char* kDefaultAcl = "system.posix_acl_default";

// --- reading

/// What libarchive reads from, and what its callback found wrong.
struct Input {
  const Fd& file;
  std::uint64_t size;  ///< bytes; 0: not known, a pipe
  std::uint64_t read;  ///< bytes
  std::vector<std::byte> buffer;
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
  input.read += *got;
  *block = input.buffer.data();
  return static_cast<la_ssize_t>(*got);
}

using Reader = std::unique_ptr<archive, int (*)(archive*)>;

Reader make_reader() {
  Reader reader(archive_read_new(), archive_read_free);
  if (reader == nullptr) throw std::bad_alloc();
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_filter_xz(reader.get());
  archive_read_support_filter_zstd(reader.get());
  archive_read_support_format_tar(reader.get());
  return reader;
}

std::string words_of(archive* reader, const char* otherwise) {
  const char* const text = archive_error_string(reader);
  return text != nullptr ? text : otherwise;
}

// --- entries

using Components = std::vector<std::string>;

/// The components of an archive's name, or the rule that it breaks. "./" and a trailing slash are common and mean
/// nothing.
std::expected<Components, const char*> split(std::string_view path) {
  if (path.starts_with('/')) return std::unexpected("an absolute name");
  Components out;
  while (!path.empty()) {
    std::string component(path.substr(0, path.find('/')));
    path.remove_prefix(std::min(path.size(), component.size() + 1));
    if (component.empty() || component == ".") continue;
    if (component == "..") return std::unexpected("a name with \"..\"");
    if (!Name::check(component)) return std::unexpected("a name with a component of more than 255 bytes");
    if (out.size() == kDeepest) return std::unexpected("a name of more than 2048 components");
    out.push_back(std::move(component));
  }
  return out;
}

std::string joined(std::span<const std::string> components) {
  std::string out;
  for (const std::string& component : components) out.append(out.empty() ? "" : "/").append(component);
  return out;
}

std::optional<AclTag> acl_tag(int tag) {
  switch (tag) {
    case ARCHIVE_ENTRY_ACL_USER_OBJ:
      return AclTag::owner;
    case ARCHIVE_ENTRY_ACL_USER:
      return AclTag::user;
    case ARCHIVE_ENTRY_ACL_GROUP_OBJ:
      return AclTag::owning_group;
    case ARCHIVE_ENTRY_ACL_GROUP:
      return AclTag::group;
    case ARCHIVE_ENTRY_ACL_MASK:
      return AclTag::mask;
    case ARCHIVE_ENTRY_ACL_OTHER:
      return AclTag::other;
    default:
      return std::nullopt;  // of NFSv4 ACLs, which are another type and not asked for
  }
}

/// The ACL of one type; empty if there is none, or none that says more than the mode.
std::vector<AclEntry> acl_of(archive_entry* entry, int type) {
  std::vector<AclEntry> out;
  if (archive_entry_acl_reset(entry, type) == 0) return out;
  bool says_more = type == ARCHIVE_ENTRY_ACL_TYPE_DEFAULT;
  int got_type = 0, permissions = 0, raw_tag = 0, id = 0;
  const char* name = nullptr;
  while (archive_entry_acl_next(entry, type, &got_type, &permissions, &raw_tag, &id, &name) == ARCHIVE_OK) {
    const auto tag = acl_tag(raw_tag);
    if (!tag) continue;
    AclEntry one{*tag, static_cast<std::uint16_t>(permissions & 7), std::nullopt, name != nullptr ? name : ""};
    const bool named = *tag == AclTag::user || *tag == AclTag::group;
    if (named && id >= 0) one.id = static_cast<std::uint32_t>(id);
    says_more = says_more || named || *tag == AclTag::mask;
    out.push_back(std::move(one));
  }
  if (!says_more) out.clear();
  return out;
}

bool lacks_id(const AclEntry& entry) { return (entry.tag == AclTag::user || entry.tag == AclTag::group) && !entry.id; }

sys::Time time_of(std::int64_t seconds, long nanoseconds) {
  constexpr long kSecond = 1'000'000'000;
  const long fraction = std::clamp(nanoseconds, 0L, kSecond - 1);
  if (seconds < 0 && fraction > 0) return {seconds - 1, static_cast<std::uint32_t>(kSecond - fraction)};
  return {seconds, static_cast<std::uint32_t>(fraction)};
}

/// All but the ACLs that are told as text.
Metadata metadata_of_entry(archive_entry* entry) {
  Metadata out;
  out.mode = static_cast<std::uint32_t>(archive_entry_perm(entry)) & 07777U;
  out.uid = static_cast<std::uint32_t>(archive_entry_uid(entry));
  out.gid = static_cast<std::uint32_t>(archive_entry_gid(entry));
  out.mtime = time_of(archive_entry_mtime(entry), archive_entry_mtime_nsec(entry));
  out.atime = archive_entry_atime_is_set(entry) != 0
                  ? time_of(archive_entry_atime(entry), archive_entry_atime_nsec(entry))
                  : out.mtime;
  // bsdtar writes every attribute twice, for two readers.
  std::map<std::string, std::string> xattrs;
  archive_entry_xattr_reset(entry);
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK)
    xattrs.insert_or_assign(name, std::string(static_cast<const char*>(value), size));
  for (auto& [key, text] : xattrs) out.xattrs.push_back({key, std::move(text)});
  return out;
}

bool is_owner(std::int64_t id) { return id >= 0 && id < 0xffffffffLL; }

// --- writing

/// Opens directories of the tree; those on the way to the last one stay open, since archives go directory by directory.
class OpenDirs {
 public:
  explicit OpenDirs(const DirFd& root) : root_(root) {}

  /// The directory of these components, made where missing. Valid until the next call.
  Result<const DirFd*> open(std::span<const std::string> components) {
    std::size_t common = 0;
    while (common < kept_.size() && common < components.size() && kept_[common].name == components[common]) ++common;
    kept_.erase(kept_.begin() + static_cast<std::ptrdiff_t>(common), kept_.end());
    const DirFd* current = kept_.empty() ? &root_ : &kept_.back().dir;
    for (const std::string& component : components.subspan(common)) {
      DirFd next = TRY(open_or_make(*current, *Name::check(component)));
      if (kept_.size() < kMostOpenDirs) {
        kept_.push_back({component, std::move(next)});
        current = &kept_.back().dir;
      } else {
        deep_ = std::move(next);
        current = &deep_;
      }
    }
    return current;
  }

 private:
  struct Kept {
    std::string name;
    DirFd dir;
  };

  /// In this order, because it is rarely missing.
  static Result<DirFd> open_or_make(const DirFd& dir, Name name) {
    auto found = sys::open_dir(dir, name);
    if (found || found.error().code != ENOENT) return found;
    return sys::ensure_dir(dir, name, 0755);
  }

  const DirFd& root_;
  std::vector<Kept> kept_;
  DirFd deep_;
};

class Unpacker {
 public:
  Unpacker(archive* reader, const Input& input, const std::string& source, const DirFd& target, Progress* progress)
      : reader_(reader), input_(input), source_(source), target_(target), progress_(progress), dirs_(target) {}

  Result<> unpack(archive_entry* entry) {
    const char* const raw = archive_entry_pathname(entry);
    path_ = raw != nullptr ? raw : "";
    if (path_.empty()) return bad("an entry without a name");
    auto done = place(entry);
    if (done && progress_ != nullptr) count(entry);
    if (done || !done.error().reason.empty()) return done;
    // A call that failed knows the staging path, the reader of the message knows the archive.
    done.error().path = source_ + ": " + path_;
    return done;
  }

  void note(std::string line) {
    if (report_.notes.size() < kMostNotes) report_.notes.push_back(std::move(line));
  }

  void warn(std::string line) {
    if (report_.warnings.size() < kMostNotes) report_.warnings.push_back(std::move(line));
  }

  /// The entry that was read last, as the archive spells it.
  [[nodiscard]] const std::string& last() const { return path_; }

  /// What had to wait: directories, whose times change and whose default ACLs are inherited while something is made in
  /// them, and ACLs with names.
  Result<UnpackReport> finish() {
    if (report_.entries == 0) return fail(kOperation, source_, "the archive is empty");
    for (auto at = directories_.rbegin(); at != directories_.rend(); ++at) {
      path_ = at->first;
      const Components components = *split(at->first);
      TRY(apply_metadata(*TRY(dirs_.open(components)), at->second, Fresh::no));
    }
    TRY(set_named_acls());
    return std::move(report_);
  }

 private:
  struct NamedAcl {
    Components components;
    const char* xattr;
    std::vector<AclEntry> entries;
  };

  [[nodiscard]] std::unexpected<Error> bad(std::string why) const {
    return fail(kOperation, source_ + (path_.empty() ? "" : ": " + path_), std::move(why));
  }

  /// The archive is taken to go on as it began: entries by the bytes that are still to be read.
  void count(archive_entry* entry) {
    if (archive_entry_filetype(entry) == AE_IFDIR) return;
    const std::uint64_t done = progress_->done.fetch_add(1, std::memory_order_relaxed) + 1;
    if (input_.size == 0) return;
    const double part_read = static_cast<double>(input_.read) / static_cast<double>(input_.size);
    progress_->total = std::max(2 * done, static_cast<std::uint64_t>(2 * static_cast<double>(done) / part_read));
  }

  Result<> place(archive_entry* entry) {
    const auto components = split(path_);
    if (!components) return bad(components.error());
    ++report_.entries;
    if (!is_owner(archive_entry_uid(entry)) || !is_owner(archive_entry_gid(entry)))
      return bad("an owner that is no user or group id");
    if (components->empty()) {
      if (archive_entry_filetype(entry) != AE_IFDIR) return bad("an entry without a name");
      directories_[""] = metadata_of(*components, entry);
      return {};
    }
    if (const char* link = archive_entry_hardlink(entry)) return make_hard_link(*components, link);
    return make(*components, entry);
  }

  Metadata metadata_of(const Components& components, archive_entry* entry) {
    Metadata out = metadata_of_entry(entry);
    const auto take_acl = [&](int type, const char* xattr) {
      std::vector<AclEntry> acl = acl_of(entry, type);
      if (acl.empty() || std::ranges::find(out.xattrs, xattr, &sys::Xattr::name) != out.xattrs.end()) return;
      if (std::ranges::any_of(acl, lacks_id)) {
        named_acls_.push_back({components, xattr, std::move(acl)});
      } else {
        out.xattrs.push_back({xattr, acl_value(std::move(acl))});
      }
    };
    take_acl(ARCHIVE_ENTRY_ACL_TYPE_ACCESS, kAccessAcl);
    take_acl(ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, kDefaultAcl);
    std::ranges::sort(out.xattrs);
    return out;
  }

  Result<const DirFd*> open_parent(const Components& components) {
    auto parent = dirs_.open(std::span(components).first(components.size() - 1));
    if (!parent && is_no_directory(parent.error())) return bad("leads through what is no directory");
    return parent;
  }

  static bool is_no_directory(const Error& error) {
    return error.reason.empty() && (error.code == ELOOP || error.code == ENOTDIR);
  }

  /// An archive that names a path twice, as anything but a directory, is not one that anybody meant.
  template <class Made>
  Result<Made> once(Result<Made> made) const {
    if (!made && made.error().code == EEXIST) return bad("stands in the archive twice");
    return made;
  }

  Result<> make_hard_link(const Components& components, const char* link) {
    const auto target = split(link);
    const auto bad_link = [&](const char* why) { return bad("a hard link to " + std::string(link) + ", " + why); };
    if (!target) return bad_link(target.error());
    if (target->empty()) return bad_link("a directory");
    const auto source = sys::open_dirs(target_, joined(std::span(*target).first(target->size() - 1)));
    if (!source && is_no_directory(source.error())) return bad_link("which leads through what is no directory");
    if (!source && source.error().code != ENOENT) return std::unexpected(source.error());
    const Name name = *Name::check(target->back());
    const auto found = source ? TRY(sys::stat_if_there(*source, name)) : std::nullopt;
    if (!found) return bad_link("which does not stand in the archive before it");
    if (found->type == sys::FileType::directory) return bad_link("a directory");
    return once(sys::link(*source, name, *TRY(open_parent(components)), *Name::check(components.back())));
  }

  Result<> make(const Components& components, archive_entry* entry) {
    const DirFd& dir = *TRY(open_parent(components));
    const Name name = *Name::check(components.back());
    switch (archive_entry_filetype(entry)) {
      case AE_IFDIR:
        return make_directory(dir, name, components, entry);
      case AE_IFREG:
        return make_file(dir, name, metadata_of(components, entry), entry);
      case AE_IFLNK:
        return make_symlink(dir, name, metadata_of(components, entry), archive_entry_symlink(entry));
      case AE_IFIFO:
        return make_node(dir, name, sys::FileType::fifo, metadata_of(components, entry), 0);
      case AE_IFCHR:
        return make_node(dir, name, sys::FileType::character, metadata_of(components, entry),
                         archive_entry_rdev(entry));
      case AE_IFBLK:
        return make_node(dir, name, sys::FileType::block, metadata_of(components, entry), archive_entry_rdev(entry));
      case AE_IFSOCK:
        note("/" + joined(components) + ": a socket, left out");
        return {};
      default:
        return bad("of a type that is not known");
    }
  }

  Result<> make_directory(const DirFd& dir, Name name, const Components& components, archive_entry* entry) {
    // Of two entries for a directory (an archive that was appended to) the later one counts.
    if (auto made = sys::make_dir(dir, name, 0755); !made) {
      if (made.error().code != EEXIST) return made;
      if (TRY(sys::stat(dir, name)).type != sys::FileType::directory) return bad("stands in the archive twice");
    }
    directories_.insert_or_assign(joined(components), metadata_of(components, entry));
    return {};
  }

  Result<> make_symlink(const DirFd& dir, Name name, const Metadata& metadata, const char* target) {
    if (target == nullptr || *target == '\0') return bad("a symbolic link without a target");
    TRY(once(sys::make_symlink(dir, name, target)));
    return apply_metadata(dir, name, sys::FileType::symlink, metadata, Fresh::no);
  }

  Result<> make_node(const DirFd& dir, Name name, sys::FileType type, const Metadata& metadata, std::uint64_t rdev) {
    TRY(once(sys::make_node(dir, name, type, 0600, rdev)));
    return apply_metadata(dir, name, type, metadata, Fresh::no);
  }

  Result<> make_file(const DirFd& dir, Name name, const Metadata& metadata, archive_entry* entry) {
    const Fd file = TRY(once(sys::create_file(dir, name, 0600)));
    const std::int64_t size = archive_entry_size(entry);
    std::int64_t written = 0;
    for (;;) {
      TRY(sys::may_go_on());
      const void* block = nullptr;
      std::size_t length = 0;
      la_int64_t offset = 0;  // a jump in it is a hole
      const int status = archive_read_data_block(reader_, &block, &length, &offset);
      if (status == ARCHIVE_EOF) break;
      if (status != ARCHIVE_OK) return bad(words_of(reader_, "damaged"));
      if (length == 0) continue;
      if (offset < 0 || offset > size || static_cast<std::int64_t>(length) > size - offset)
        return bad("holds more than the size that it states");
      TRY(sys::write_at(file, {static_cast<const std::byte*>(block), length}, static_cast<std::uint64_t>(offset)));
      written = std::max(written, offset + static_cast<std::int64_t>(length));
    }
    if (written != size) TRY(sys::truncate(file, static_cast<std::uint64_t>(size)));  // a hole at the end
    return apply_metadata(file, metadata, Fresh::no);
  }

  /// The accounts of the tree itself; empty where it has no such file.
  Result<Ids> ids_in(Name file) const {
    const auto etc = sys::open_dir(target_, "etc");
    if (!etc) return Ids{};
    const auto accounts = sys::open_file(*etc, file);
    if (!accounts) return Ids{};
    return read_ids(TRY(sys::read_whole(*accounts, kMostAccounts)));
  }

  Result<> set_named_acls() {
    if (named_acls_.empty()) return {};
    const Ids users = TRY(ids_in("passwd")), groups = TRY(ids_in("group"));
    for (NamedAcl& acl : named_acls_) {
      path_ = joined(acl.components);
      std::string unknown;
      for (AclEntry& entry : acl.entries) {
        if (!lacks_id(entry)) continue;
        const Ids& ids = entry.tag == AclTag::user ? users : groups;
        if (const auto found = ids.find(entry.name); found != ids.end()) {
          entry.id = found->second;
        } else {
          unknown = entry.name;
        }
      }
      if (!unknown.empty()) {
        warn("/" + path_ + ": ACL left out: the archive's own etc/passwd and etc/group don't know " + unknown);
        continue;
      }
      const sys::Xattr xattr{acl.xattr, acl_value(std::move(acl.entries))};
      if (acl.components.empty()) {
        TRY(sys::set_xattr(target_, xattr));
      } else {
        TRY(sys::set_xattr(*TRY(open_parent(acl.components)), *Name::check(acl.components.back()), xattr));
      }
    }
    return {};
  }

  archive* reader_;
  const Input& input_;
  const std::string& source_;
  const DirFd& target_;
  Progress* progress_;
  OpenDirs dirs_;
  std::string path_;
  std::map<std::string, Metadata> directories_;
  std::vector<NamedAcl> named_acls_;
  UnpackReport report_;
};

/// libarchive warns of names that the locale cannot tell, and gives them as they are: that is what is wanted.
bool is_about_charset(std::string_view warning) { return warning.find("can't be converted") != warning.npos; }

}  // namespace

Result<UnpackReport> unpack_archive(const Fd& input, const std::string& source, const DirFd& target,
                                    Progress* progress) {
  const sys::Stat stat = TRY(sys::stat(input));
  Input from{input, stat.type == sys::FileType::regular ? stat.size : 0, 0, std::vector<std::byte>(kReadSize), {}};
  const Reader reader = make_reader();
  Unpacker unpacker(reader.get(), from, source, target, progress);
  const auto broken = [&]() -> std::unexpected<Error> {
    if (from.error) return std::unexpected(std::move(*from.error));
    const std::string after = unpacker.last().empty() ? "" : " (after " + unpacker.last() + ")";
    return fail(kOperation, source, words_of(reader.get(), "not a tar archive") + after);
  };
  if (archive_read_open2(reader.get(), &from, nullptr, read_callback, nullptr, nullptr) != ARCHIVE_OK) return broken();
  for (;;) {
    TRY(sys::may_go_on());
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(reader.get(), &entry);
    if (status == ARCHIVE_EOF) return unpacker.finish();
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN) return broken();
    const std::string warning = status == ARCHIVE_WARN ? words_of(reader.get(), "damaged") : "";
    if (auto done = unpacker.unpack(entry); !done)
      return from.error ? broken() : std::unexpected(std::move(done).error());
    if (!warning.empty() && !is_about_charset(warning)) unpacker.warn("/" + unpacker.last() + ": " + warning);
  }
}

}  // namespace vskel
