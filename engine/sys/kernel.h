// The kernel, as the engine sees it: every call takes a directory descriptor and a single name, never follows a
// symbolic link, and gives a Result. Nothing outside this room includes <fcntl.h>, <unistd.h> or <sys/*.h>.
//
// Errors name the call's operation and the path of the directory (asked of /proc/self/fd only when there is an error
// to tell) with the name. All functions are thread-safe; descriptors that are given are owned by the caller's Fd.
// Every call passes the seam (seam.h) first. EINTR is retried here.
//
// The process's umask must be 0 (engine_start() sees to it): creating calls state the mode that they mean.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/sys/error.h"
#include "engine/sys/fd.h"

namespace vskel::sys {

enum class FileType : std::uint8_t { unknown, regular, directory, symlink, fifo, socket, character, block };

/// Seconds and nanoseconds since the epoch; seconds may be negative.
struct Time {
  std::int64_t seconds = 0;
  std::uint32_t nanoseconds = 0;
  friend auto operator<=>(const Time&, const Time&) = default;
};

/// What statx(2) says of one inode, without following.
struct Stat {
  FileType type = FileType::unknown;
  std::uint32_t mode = 0;  ///< permission bits, 07777
  std::uint32_t uid = 0, gid = 0;
  std::uint32_t nlink = 0;
  std::uint64_t inode = 0;
  std::uint64_t device = 0;  ///< makedev(stx_dev_major, stx_dev_minor)
  std::uint64_t rdev = 0;    ///< of a character or block device
  std::uint64_t size = 0;    ///< bytes
  std::uint64_t blocks = 0;  ///< units of 512 bytes
  Time atime, mtime;
  Time ctime;               ///< the one time stamp that no owner of a file can set
  bool immutable = false;   ///< STATX_ATTR_IMMUTABLE
  bool append = false;      ///< STATX_ATTR_APPEND
  bool mount_root = false;  ///< STATX_ATTR_MOUNT_ROOT: something is mounted here
};

struct Xattr {
  std::string name;   ///< "user.note", "security.capability", "system.posix_acl_access" ...
  std::string value;  ///< raw bytes
  friend auto operator<=>(const Xattr&, const Xattr&) = default;
};

// --- engine-wide
/// Sets umask 0, ignores SIGPIPE, SIGXFSZ and SIGIO, opens descriptors 0 to 2 if closed, raises RLIMIT_NOFILE to its
/// hard limit, and lets no core be written, which would hold what others' files hold.
void engine_start();
/// The soft limit of open descriptors now.
[[nodiscard]] std::size_t descriptor_limit();
/// The clock that file systems stamp inodes with (CLOCK_REALTIME_COARSE; fs/inode.c: current_time): what is changed
/// from now on has no ctime before it.
[[nodiscard]] Time inode_clock();
/// The same time, not rounded down to the last tick: nothing that was changed before the call has a later ctime. (Since
/// Linux 6.13 an inode that was looked at gets the time of its next change to the nanosecond, ahead of inode_clock();
/// fs/inode.c: inode_set_ctime_current.)
[[nodiscard]] Time precise_clock();
/// Returns when inode_clock() has gone past `time`, so that what is changed from then on has a later ctime: at the next
/// tick, 1 to 10 ms (CONFIG_HZ); after 100 ms in any case, for a clock that was set back.
void wait_for_inode_clock_past(Time time);
/// CPUs that this process may use (sched_getaffinity), at least 1.
[[nodiscard]] unsigned usable_cpus();
/// The path of an open descriptor as /proc/self/fd tells; "" if it can't.
[[nodiscard]] std::string path_of(const Fd& fd);

// --- opening
/// Opens a directory that the administrator named on the command line or in a file of his. The only call that takes a
/// path; follows symbolic links, because the administrator may (`/vservers -> /srv/vservers`).
[[nodiscard]] Result<DirFd> open_root(const std::string& path);
/// The same, for a regular file of the administrator's (a fleet file, an archive, a template), read-only.
[[nodiscard]] Result<Fd> open_input(const std::string& path);
/// A directory by name, openat2 beneath, no symlinks, no crossing of mounts. ELOOP or ENOTDIR if it is no directory.
[[nodiscard]] Result<DirFd> open_dir(const DirFd& dir, Name name);
/// The same, crossing mounts: for source trees of the administrator's.
[[nodiscard]] Result<DirFd> open_dir_crossing(const DirFd& dir, Name name);
/// Opens "a/b/c" component by component with open_dir. "" gives a second descriptor for `dir` itself.
[[nodiscard]] Result<DirFd> open_dirs(const DirFd& dir, std::string_view relative_path);
/// A second descriptor of the same directory (independent read position).
[[nodiscard]] Result<DirFd> reopen(const DirFd& dir);
/// What stands under a name, held fast by O_PATH: nothing was opened, so nothing has happened to it.
struct Pinned {
  Fd fd;
  Stat stat;
};
/// nullopt if there is no such name; EXDEV if something is mounted over it.
[[nodiscard]] Result<std::optional<Pinned>> pin_if_there(const DirFd& dir, Name name);
/// The very file that was pinned, for reading (O_NONBLOCK, O_NOCTTY). Anything but a regular file is EINVAL: opening a
/// device has effects, and opening a FIFO wakes its writer.
[[nodiscard]] Result<Fd> open_pinned(const Pinned& pinned);
/// A regular file for reading: pinned, then opened.
[[nodiscard]] Result<Fd> open_file(const DirFd& dir, Name name);
/// The same in one call, for trees that no tenant can reach and names that were just seen to be regular files (the
/// skel, staging). Their inodes he may reach: a lease that he has there is waited for, as long as the kernel lets him
/// keep it (all such waits of this process together), and then the error, without an errno, names its holder.
[[nodiscard]] Result<Fd> open_trusted_file(const DirFd& dir, Name name);
/// Creates a regular file, O_EXCL, for writing (and reading). EEXIST if the name is taken.
[[nodiscard]] Result<Fd> create_file(const DirFd& dir, Name name, std::uint32_t mode);
/// Opens for reading and writing what is there (our own directories only).
[[nodiscard]] Result<Fd> open_to_write(const DirFd& dir, Name name);
/// A regular file without a name, for reading and writing (O_TMPFILE): for trying out what the file system of `dir` can
/// do, so that a kill leaves nothing behind. EOPNOTSUPP where the file system has none; ext4, XFS, btrfs and tmpfs
/// have.
[[nodiscard]] Result<Fd> create_unnamed_file(const DirFd& dir, std::uint32_t mode);
/// Opens for reading and writing, creating if absent (locks, journals: our own directories only).
[[nodiscard]] Result<Fd> open_or_create(const DirFd& dir, Name name, std::uint32_t mode);

// --- looking
[[nodiscard]] Result<Stat> stat(const DirFd& dir, Name name);
[[nodiscard]] Result<Stat> stat(const Fd& fd);
/// nullopt if there is no such name.
[[nodiscard]] Result<std::optional<Stat>> stat_if_there(const DirFd& dir, Name name);
/// Whether something is mounted on the name, where this process can see it; false if there is no such name.
[[nodiscard]] Result<bool> is_mount_point(const DirFd& dir, Name name);
[[nodiscard]] Result<std::string> read_link(const DirFd& dir, Name name);
/// Fills `buffer` with raw linux_dirent64 records; 0 bytes at the end. See tree/listing.h for the parsed form.
[[nodiscard]] Result<std::size_t> get_dents(const DirFd& dir, std::span<std::byte> buffer);
/// From the first record again: where get_dents() goes on belongs to the descriptor.
[[nodiscard]] Result<> rewind(const DirFd& dir);
/// All extended attributes, sorted by name; empty where the file system has none (ENOTSUP).
[[nodiscard]] Result<std::vector<Xattr>> xattrs(const Fd& fd);
/// The same for a name that must not be opened (symlinks, devices), through O_PATH and /proc/self/fd.
[[nodiscard]] Result<std::vector<Xattr>> xattrs(const DirFd& dir, Name name);

/// What means one inode while its file system is mounted: numbers are given out again, with another generation.
struct Identity {
  std::uint64_t device = 0;  ///< as in Stat
  std::uint64_t inode = 0;
  std::uint32_t generation = 0;  ///< i_generation, which no call tells but for the file's handle
  bool immutable = false;        ///< as in Stat
};
/// By name_to_handle_at(2), whose handles are read for ext4 (fs/libfs.c: generic_encode_ino32_fh), XFS
/// (fs/xfs/xfs_export.c) and tmpfs (mm/shmem.c). EOPNOTSUPP where a file system has no handles, or others.
[[nodiscard]] Result<Identity> identity(const DirFd& dir, Name name);
[[nodiscard]] Result<Identity> identity(const Fd& fd);

// --- making
[[nodiscard]] Result<> make_dir(const DirFd& dir, Name name, std::uint32_t mode);
/// make_dir, content if it is there already as a directory; then open_dir.
[[nodiscard]] Result<DirFd> ensure_dir(const DirFd& dir, Name name, std::uint32_t mode);
[[nodiscard]] Result<> make_symlink(const DirFd& dir, Name name, const std::string& target);
/// FIFO, character, block: `rdev` as in Stat.
[[nodiscard]] Result<> make_node(const DirFd& dir, Name name, FileType type, std::uint32_t mode, std::uint64_t rdev);
/// Hard link. EMLINK, EPERM (immutable source) and EXDEV come back as they are.
[[nodiscard]] Result<> link(const DirFd& source_dir, Name source, const DirFd& dir, Name name);

// --- moving and removing
/// renameat2(RENAME_NOREPLACE).
[[nodiscard]] Result<> rename_new(const DirFd& from_dir, Name from, const DirFd& to_dir, Name to);
/// renameat, replacing what stands at `to`.
[[nodiscard]] Result<> rename_over(const DirFd& from_dir, Name from, const DirFd& to_dir, Name to);
/// renameat2(RENAME_EXCHANGE).
[[nodiscard]] Result<> exchange(const DirFd& a_dir, Name a, const DirFd& b_dir, Name b);
[[nodiscard]] Result<> unlink(const DirFd& dir, Name name);
[[nodiscard]] Result<> remove_dir(const DirFd& dir, Name name);
/// unlink; content if the name is not there.
[[nodiscard]] Result<> unlink_if_there(const DirFd& dir, Name name);

// --- metadata (only on what we made ourselves, or on the skel)
[[nodiscard]] Result<> set_owner(const Fd& fd, std::uint32_t uid, std::uint32_t gid);
[[nodiscard]] Result<> set_owner(const DirFd& dir, Name name, std::uint32_t uid, std::uint32_t gid);
[[nodiscard]] Result<> set_mode(const Fd& fd, std::uint32_t mode);
[[nodiscard]] Result<> set_mode(const DirFd& dir, Name name, std::uint32_t mode);
[[nodiscard]] Result<> set_times(const Fd& fd, Time atime, Time mtime);
[[nodiscard]] Result<> set_times(const DirFd& dir, Name name, Time atime, Time mtime);
[[nodiscard]] Result<> set_xattr(const Fd& fd, const Xattr& xattr);
[[nodiscard]] Result<> set_xattr(const DirFd& dir, Name name, const Xattr& xattr);
[[nodiscard]] Result<> remove_xattr(const Fd& fd, const std::string& name);

/// Inode flags of FS_IOC_GETFLAGS (linux/fs.h). Regular files and directories only.
inline constexpr std::uint32_t kImmutableFlag = 0x00000010;
inline constexpr std::uint32_t kAppendFlag = 0x00000020;
/// FS_IXUNLINK_FL of Linux-VServer kernels (patch-2.6: include/linux/fs.h); mainline answers EOPNOTSUPP.
inline constexpr std::uint32_t kIxunlinkFlag = 0x08000000;
[[nodiscard]] Result<std::uint32_t> flags(const Fd& fd);
[[nodiscard]] Result<> set_flags(const Fd& fd, std::uint32_t flags);
/// Takes "read-only" off a subvolume of btrfs, which anybody may set on his own. `dir` is its root.
[[nodiscard]] Result<> make_subvolume_writable(const DirFd& dir);
/// Adds `set` and takes away `clear`, by file_setattr(2) (Linux 6.17; read with file_getattr(2) first, because it
/// overwrites all flags and the project id) where the kernel has it, else by the ioctl. Regular files and directories
/// only.
[[nodiscard]] Result<> change_flags(const DirFd& dir, Name name, std::uint32_t set, std::uint32_t clear);
/// All that file_setattr(2) overwrites, as file_getattr(2) gives it (struct fsxattr): whoever sets a flag for a while
/// keeps it, and asks once.
struct FileAttributes {
  std::uint64_t xflags = 0;  ///< FS_XFLAG_* of linux/fs.h
  std::uint32_t extsize = 0, nextents = 0, projid = 0, cowextsize = 0;
  [[nodiscard]] bool immutable() const { return (xflags & kXflagImmutable) != 0; }
  static constexpr std::uint64_t kXflagImmutable = 0x8;
};
/// nullopt where the kernel has no file_getattr(2), or the file system none for this.
[[nodiscard]] Result<std::optional<FileAttributes>> file_attributes(const DirFd& dir, Name name);
/// False where it is not to be had by this call and change_flags() has to do it.
[[nodiscard]] Result<bool> set_file_attributes(const DirFd& dir, Name name, const FileAttributes& attributes);

// --- data
/// Reads up to buffer.size() bytes at `offset`; short only at the end of the file.
[[nodiscard]] Result<std::size_t> read_at(const Fd& fd, std::span<std::byte> buffer, std::uint64_t offset);
/// The same for a file that is expected to end at `end`: a short read that comes to there is not asked about again.
[[nodiscard]] Result<std::size_t> read_at(const Fd& fd, std::span<std::byte> buffer, std::uint64_t offset,
                                          std::uint64_t end);
/// Reads what is there from the current position (pipes too); 0 at the end.
[[nodiscard]] Result<std::size_t> read_some(const Fd& fd, std::span<std::byte> buffer);
/// Writes all of it at `offset`.
[[nodiscard]] Result<> write_at(const Fd& fd, std::span<const std::byte> data, std::uint64_t offset);
/// Writes all of it at the current position.
[[nodiscard]] Result<> write_all(const Fd& fd, std::string_view data);
/// A whole small file; more than `limit` bytes is EFBIG.
[[nodiscard]] Result<std::string> read_whole(const Fd& fd, std::size_t limit);
[[nodiscard]] Result<> truncate(const Fd& fd, std::uint64_t size);
/// FICLONE of a whole file; EOPNOTSUPP, EXDEV, EINVAL come back as they are.
[[nodiscard]] Result<> clone(const Fd& source, const Fd& target);
/// copy_file_range of [offset, offset+length) to the same place; falls back to read and write where the kernel refuses
/// (EXDEV, EINVAL, ENOSYS, EOPNOTSUPP).
[[nodiscard]] Result<> copy_range(const Fd& source, const Fd& target, std::uint64_t offset, std::uint64_t length);
/// The next data extent at or after `offset`: [start, end). nullopt past the last one. Whole file where the fs knows no
/// holes.
struct Extent {
  std::uint64_t start, end;
};
[[nodiscard]] Result<std::optional<Extent>> next_data(const Fd& fd, std::uint64_t offset, std::uint64_t size);

// --- sharing
/// A read lease (fcntl(2), F_SETLEASE): granted only while nobody has the file open for writing or mapped shared and
/// writable, so it proves that nobody writes; who opens it for writing then waits until the lease is given back (the
/// descriptor closed). `file` must be open read-only. false: refused, a writer has it. EINVAL where the file system has
/// no leases. engine_start() has SIGIO ignored, which would else kill the holder when a lease is broken.
[[nodiscard]] Result<bool> take_read_lease(const Fd& file);
/// The same where a file system without leases, which can say nothing of writers, counts as one that has none.
[[nodiscard]] Result<bool> has_no_writer(const Fd& file);
/// Whether the lease that was taken by `file` stands, with nobody waiting to write.
[[nodiscard]] Result<bool> holds_read_lease(const Fd& file);
/// What ioctl_fideduperange(2) did with one range.
struct Deduped {
  bool same;            ///< false: the bytes differ, nothing was shared
  std::uint64_t bytes;  ///< how many of them are shared now; may be fewer than asked for
};
/// Has [offset, offset + length) of `target` share the extents of `source`, if the bytes are equal, atomic against
/// writers. Both may be open read-only (for root). EINVAL, EOPNOTSUPP and EXDEV come back as they are.
[[nodiscard]] Result<Deduped> dedupe(const Fd& source, const Fd& target, std::uint64_t offset, std::uint64_t length);
/// Where a piece of a file stands, bytes.
struct PhysicalExtent {
  std::uint64_t logical, physical, length;
  friend bool operator==(const PhysicalExtent&, const PhysicalExtent&) = default;
};
/// All extents of a file, without flushing it. nullopt where some have no settled place yet, or the file system does
/// not tell. Two files with the same extents share their bytes, but for writes that are still in the page cache.
[[nodiscard]] Result<std::optional<std::vector<PhysicalExtent>>> physical_extents(const Fd& file);
/// Whether two files of one size are the same bytes because they are the same blocks, after what is in the page cache
/// of both was brought to the disk: clones of each other. For as long as nobody writes to either. False says nothing.
[[nodiscard]] Result<bool> are_same_blocks(const Fd& a, const Fd& b);

// --- durability
[[nodiscard]] Result<> sync_file(const Fd& fd);         ///< fsync (of a directory too)
[[nodiscard]] Result<> sync_data(const Fd& fd);         ///< fdatasync
[[nodiscard]] Result<> sync_file_system(const Fd& fd);  ///< syncfs; reports write errors since Linux 5.8
/// Starts write-back of the file's dirty pages without waiting (sync_file_range).
void start_writeback(const Fd& fd);
/// syncfs(2) ahead of time: nobody relies on it, so it has no outcome and passes no seam.
void write_back_file_system(const Fd& fd);

// --- locks
enum class Wait { no, yes };
/// Open-file-description write lock on the whole file: dies with the last descriptor of this open file. false: another
/// holds it (Wait::no).
[[nodiscard]] Result<bool> lock_exclusive(const Fd& fd, Wait wait);
/// A read lock that nobody waits for, by a descriptor that need not be one for writing: whoever wants to have the file
/// alone waits. false: another has it alone.
[[nodiscard]] Result<bool> lock_shared(const Fd& fd);
/// Whether lock_shared() would say so, without a lock.
[[nodiscard]] Result<bool> locked_exclusively(const Fd& fd);
/// Whether lock_exclusive() would have to wait; takes no lock.
[[nodiscard]] Result<bool> locked_by_another(const Fd& fd);

// --- calls that a library makes
/// For a call that is none of these, before it is made (bpf(2), by libbpf): that it may fail and be counted in tests as
/// all others are. Gives the error in whose place it is left out; `operation` and `path` are what that error names.
[[nodiscard]] Result<> pass_seam(const char* operation, const char* path, const char* call, bool changes);

// --- file systems
struct FileSystem {
  std::string type;  ///< "ext4", "xfs", "btrfs", "tmpfs", or the magic number in hex
  std::uint64_t free_bytes = 0, free_inodes = 0;
};
[[nodiscard]] Result<FileSystem> file_system(const Fd& fd);

}  // namespace vskel::sys
