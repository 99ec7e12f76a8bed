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

struct dentry {
  struct inode* d_inode;
};

struct file {
  unsigned int f_mode;
  struct inode* f_inode;
};

#pragma clang attribute pop

#endif
