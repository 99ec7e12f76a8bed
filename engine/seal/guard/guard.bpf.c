/* The guard: what is in the map `sealed` is refused, to everybody, for every way to change a file or its metadata;
 * names of it can be made, moved and removed as of any other file. The immutable-linkage-invert of Linux-VServer, for kernels
 * without it.
 *
 * Hooks are those of security/security.c. A kernel has some of them only since a version, and some have got an argument
 * in front since; there is a program for each form, and guard.cpp loads those that fit what the kernel says of itself:
 *
 *   file_open                    every open but O_PATH; also by io_uring, by handle, by /proc/self/fd, by nfsd.
 *                                The count of writers is raised before it (fs/open.c: do_dentry_open), so that who
 *                                gets a read lease after the key went into the map has proved that nobody writes.
 *   inode_setattr                chmod, chown, utimes, truncate (fs/attr.c: notify_change); but for times as they are
 *   inode_setxattr, _removexattr attributes, capabilities; ACLs before 6.2
 *   inode_set_acl, _remove_acl   ACLs since 6.2
 *   file_ioctl, _compat          flags, project, version, verity: the ioctls that need no descriptor for writing
 *   inode_file_setattr           flags by file_setattr(2), 6.17
 *   file_lock                    write leases and exclusive flock(2), for which a descriptor for reading is enough, and
 *                                which keep waiting whoever shares the inode
 *   file_permission              FIDEDUPERANGE, which takes a descriptor for reading and gives the file other blocks
 *   bpf_map                      descriptors of the maps here, to whoever is in another pid or user namespace
 *   inode_free_security          an inode that is gone takes its key along; its number will be another file's
 *
 * Needs no hook: write, mmap, fallocate, copy_file_range, FICLONE and the like want a descriptor open for writing; so
 * do the ioctls that move extents. Access times that reading sets pass no hook. */
#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "engine/seal/guard/kernel_types.h"
#include "engine/seal/guard/key.h"

char LICENSE[] SEC("license") = "GPL";

#define EPERM 1
#define FMODE_WRITE 0x2
#define MAY_WRITE 0x2
#define F_WRLCK 1
#define S_IFMT 0170000
#define S_IFREG 0100000

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1 << 20);
  __uint(map_flags, BPF_F_NO_PREALLOC); /* memory for what is sealed, not for what could be */
  __type(key, struct vskel_guard_key);
  __type(value, __u8);
} sealed SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, VSKEL_GUARD_HOOKS);
  __type(key, __u32);
  __type(value, __u64);
} refusals SEC(".maps");

static __always_inline struct vskel_guard_key key_of(const struct inode* inode) {
  struct vskel_guard_key key = {
      .inode = inode->i_ino, .device = inode->i_sb->s_dev, .generation = inode->i_generation};
  return key;
}

static __always_inline int refuse(__u32 hook) {
  __u64* count = bpf_map_lookup_elem(&refusals, &hook);
  if (count) ++*count;
  return -EPERM;
}

/* A younger kernel (7.3) wants to see that a dentry's inode is not taken for granted. */
static __always_inline int refuse_if_sealed(const struct inode* inode, __u32 hook) {
  if (!inode || (inode->i_mode & S_IFMT) != S_IFREG) return 0;
  struct vskel_guard_key key = key_of(inode);
  const __u8* state = bpf_map_lookup_elem(&sealed, &key);
  if (!state) return 0;
  if (*state == VSKEL_GUARD_FLAGS_OPEN && (hook == VSKEL_GUARD_IOCTL || hook == VSKEL_GUARD_FILE_SETATTR)) return 0;
  return refuse(hook);
}

SEC("lsm/file_open")
int BPF_PROG(open_, struct file* file) {
  if (!(file->f_mode & FMODE_WRITE)) return 0;
  return refuse_if_sealed(file->f_inode, VSKEL_GUARD_OPEN);
}

/* Both forms of hooks that have got a namespace or an idmapping in front of the dentry. */
#define ON_DENTRY(hook, counter)                                                      \
  SEC("?lsm/" #hook)                                                                  \
  int BPF_PROG(hook##_bare, struct dentry* dentry) {                                  \
    return refuse_if_sealed(dentry->d_inode, counter);                                \
  }                                                                                   \
  SEC("?lsm/" #hook)                                                                  \
  int BPF_PROG(hook##_mapped, void* mapping, struct dentry* dentry) {                 \
    return refuse_if_sealed(dentry->d_inode, counter);                                \
  }

/* include/linux/fs.h */
#define ATTR_ATIME (1 << 4)
#define ATTR_MTIME (1 << 5)
#define ATTR_CTIME (1 << 6)
#define ATTR_ATIME_SET (1 << 7)
#define ATTR_MTIME_SET (1 << 8)
#define ATTR_TIMES_SET (1 << 16)

#define IS_MTIME(seconds, nanoseconds) (time->tv_sec == (seconds) && time->tv_nsec == (nanoseconds))

static __always_inline int is_mtime_of(const struct inode* inode, const struct timespec64* time) {
  const struct inode___since_6_11* newest = (const void*)inode;
  const struct inode___since_6_7* newer = (const void*)inode;
  const struct inode___before* older = (const void*)inode;
  if (bpf_core_field_exists(newest->i_mtime_sec)) return IS_MTIME(newest->i_mtime_sec, newest->i_mtime_nsec);
  if (bpf_core_field_exists(newer->__i_mtime)) return IS_MTIME(newer->__i_mtime.tv_sec, newer->__i_mtime.tv_nsec);
  if (bpf_core_field_exists(older->i_mtime)) return IS_MTIME(older->i_mtime.tv_sec, older->i_mtime.tv_nsec);
  return 0;
}

/* What rpm does to a file that a new version of its package has, too, unchanged (fsmUtime): mtime as it is, and atime
 * the same. What comes of it are atime and ctime, which a reader and a new name change as well. */
static __always_inline int leaves_times(const struct inode* inode, const struct iattr* change) {
  const unsigned int wants = ATTR_ATIME | ATTR_MTIME | ATTR_ATIME_SET | ATTR_MTIME_SET;
  const unsigned int takes = wants | ATTR_CTIME | ATTR_TIMES_SET;
  return (change->ia_valid & wants) == wants && (change->ia_valid & ~takes) == 0 &&
         is_mtime_of(inode, &change->ia_mtime) && is_mtime_of(inode, &change->ia_atime);
}

static __always_inline int on_setattr(const struct inode* inode, const struct iattr* change) {
  if (!inode) return 0;
  return leaves_times(inode, change) ? 0 : refuse_if_sealed(inode, VSKEL_GUARD_SETATTR);
}

SEC("?lsm/inode_setattr")
int BPF_PROG(inode_setattr_bare, struct dentry* dentry, struct iattr* change) {
  return on_setattr(dentry->d_inode, change);
}

SEC("?lsm/inode_setattr")
int BPF_PROG(inode_setattr_mapped, void* mapping, struct dentry* dentry, struct iattr* change) {
  return on_setattr(dentry->d_inode, change);
}

ON_DENTRY(inode_setxattr, VSKEL_GUARD_SETXATTR)
ON_DENTRY(inode_removexattr, VSKEL_GUARD_REMOVEXATTR)
ON_DENTRY(inode_set_acl, VSKEL_GUARD_SET_ACL)
ON_DENTRY(inode_remove_acl, VSKEL_GUARD_REMOVE_ACL)
ON_DENTRY(inode_file_setattr, VSKEL_GUARD_FILE_SETATTR)

/* include/uapi/linux/fs.h, fsverity.h, fs/ext4/ext4.h; with 4 in place of 8: what 32-bit programs ask for. */
static __always_inline int changes_a_file(unsigned int command) {
  switch (command) {
    case 0x40086602: /* FS_IOC_SETFLAGS */
    case 0x40046602: /* FS_IOC32_SETFLAGS */
    case 0x401c5820: /* FS_IOC_FSSETXATTR */
    case 0x40087602: /* FS_IOC_SETVERSION */
    case 0x40047602: /* FS_IOC32_SETVERSION */
    case 0x40086604: /* EXT4_IOC_SETVERSION */
    case 0x40046604: /* EXT4_IOC32_SETVERSION */
    case 0x00006609: /* EXT4_IOC_MIGRATE */
    case 0x40806685: /* FS_IOC_ENABLE_VERITY */
      return 1;
    default:
      return 0;
  }
}

SEC("lsm/file_ioctl")
int BPF_PROG(ioctl, struct file* file, unsigned int command) {
  return changes_a_file(command) ? refuse_if_sealed(file->f_inode, VSKEL_GUARD_IOCTL) : 0;
}

SEC("?lsm/file_ioctl_compat")
int BPF_PROG(ioctl_compat, struct file* file, unsigned int command) {
  return changes_a_file(command) ? refuse_if_sealed(file->f_inode, VSKEL_GUARD_IOCTL) : 0;
}

/* `type` is F_RDLCK, F_WRLCK or F_UNLCK, whichever call it is (fs/locks.c: vfs_setlease, flock, fcntl_setlk). Locks for
 * reading go on: read leases prove that nobody writes, and only what is refused anyway would break or wait for them. */
SEC("lsm/file_lock")
int BPF_PROG(lock, struct file* file, unsigned int type) {
  return type == F_WRLCK ? refuse_if_sealed(file->f_inode, VSKEL_GUARD_LOCK) : 0;
}

/* Asked at every read and write; so it is loaded only where a file system wants it. Who writes by a descriptor for reading is remap_verify_area() (fs/remap_range.c), for
 * FIDEDUPERANGE: bytes stay, but the tenant chooses the blocks, one here and one there, from which all will read. */
SEC("?lsm/file_permission")
int BPF_PROG(dedupe, struct file* file, int mask) {
  if (!(mask & MAY_WRITE) || (file->f_mode & FMODE_WRITE)) return 0;
  return refuse_if_sealed(file->f_inode, VSKEL_GUARD_DEDUPE);
}

/* Since 6.0 a map wants no capability of who has a descriptor of it, and CAP_SYS_ADMIN, which a container may have, gets
 * one by the map's number. */
SEC("?lsm/bpf_map")
int BPF_PROG(map, const void* asked_for) {
  if (asked_for != &sealed && asked_for != &refusals) return 0;
  const struct task_struct* task = (const void*)bpf_get_current_task();
  if (BPF_CORE_READ(task, thread_pid, level) == 0 && BPF_CORE_READ(task, cred, user_ns, level) == 0) return 0;
  return refuse(VSKEL_GUARD_MAP);
}

SEC("?lsm/inode_free_security")
int BPF_PROG(forget, struct inode* inode) {
  if (inode->i_nlink != 0 || (inode->i_mode & S_IFMT) != S_IFREG) return 0;
  struct vskel_guard_key key = key_of(inode);
  bpf_map_delete_elem(&sealed, &key);
  return 0;
}
