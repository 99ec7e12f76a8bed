/* What the guard's programs read of the kernel's structures, and no more. Each is found by the kernel's own description
 * of its types when the programs are loaded (CO-RE), so that neither the order of members nor their offsets matter, and
 * nothing of any kernel is needed to build. Names and meaning: include/linux/fs.h. */
#ifndef VSKEL_GUARD_KERNEL_TYPES_H
#define VSKEL_GUARD_KERNEL_TYPES_H

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct super_block {
  unsigned int s_dev; /* dev_t of the kernel: major << 20 | minor */
};

struct inode {
  unsigned short i_mode;
  unsigned int i_nlink;
  unsigned int i_generation; /* tells an inode from the next one of the same number */
  unsigned long i_ino;
  struct super_block* i_sb;
};

/* Its members for the time of change: under these names since 6.11, 6.7, and before. ___ and what follows is no part of
 * a type's name for the loader (CO-RE). */
struct timespec64 {
  long long tv_sec;
  long tv_nsec;
};
struct inode___since_6_11 {
  long long i_mtime_sec;
  unsigned int i_mtime_nsec;
};
struct inode___since_6_7 {
  struct timespec64 __i_mtime;
};
struct inode___before {
  struct timespec64 i_mtime;
};

struct iattr {
  unsigned int ia_valid;
  struct timespec64 ia_atime;
  struct timespec64 ia_mtime;
};

struct dentry {
  struct inode* d_inode;
};

struct file {
  unsigned int f_mode;
  struct inode* f_inode;
};

struct pid {
  unsigned int level; /* of its pid namespace; 0: the first */
};

struct user_namespace {
  int level;
};

struct cred {
  struct user_namespace* user_ns;
};

struct task_struct {
  struct pid* thread_pid;
  const struct cred* cred;
};

#pragma clang attribute pop

#endif
