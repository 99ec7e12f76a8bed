/* The key of a sealed inode, for the programs in the kernel (C) and for us (C++). */
#ifndef VSKEL_GUARD_KEY_H
#define VSKEL_GUARD_KEY_H

/* What means one inode on ext4, XFS and tmpfs for as long as the file system is mounted: numbers are given out again
 * when a file is gone, with another generation. No padding: the kernel compares all bytes. */
struct vskel_guard_key {
  unsigned long long inode;
  unsigned int device; /* the kernel's: major << 20 | minor */
  unsigned int generation;
};

/* The value in the map. */
enum vskel_guard_state {
  VSKEL_GUARD_SEALED = 1,
  VSKEL_GUARD_FLAGS_OPEN = 2 /* sealed but for inode flags: while an older seal, the immutable flag, is taken off */
};

/* What was refused is counted by these. */
enum vskel_guard_hook {
  VSKEL_GUARD_OPEN,
  VSKEL_GUARD_SETATTR,
  VSKEL_GUARD_SETXATTR,
  VSKEL_GUARD_REMOVEXATTR,
  VSKEL_GUARD_SET_ACL,
  VSKEL_GUARD_REMOVE_ACL,
  VSKEL_GUARD_IOCTL,
  VSKEL_GUARD_FILE_SETATTR,
  VSKEL_GUARD_LOCK,
  VSKEL_GUARD_DEDUPE,
  VSKEL_GUARD_MAP,
  VSKEL_GUARD_HOOKS
};

#endif
