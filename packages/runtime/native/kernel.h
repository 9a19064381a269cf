// The few kernel interfaces that musl's headers do not declare.
#ifndef BANYAN_KERNEL_H
#define BANYAN_KERNEL_H

#include <stdint.h>
#include <sys/ioctl.h>

// linux/mount.h
#ifndef FSOPEN_CLOEXEC
#define FSOPEN_CLOEXEC 1
#define FSMOUNT_CLOEXEC 1
#define FSCONFIG_SET_FLAG 0
#define FSCONFIG_SET_STRING 1
#define FSCONFIG_CMD_CREATE 6
#define MOUNT_ATTR_RDONLY 1
#define MOUNT_ATTR_NOSUID 2
#define MOUNT_ATTR_NODEV 4
#define MOVE_MOUNT_F_EMPTY_PATH 4
#define MOVE_MOUNT_T_EMPTY_PATH 0x40
#define OPEN_TREE_CLOEXEC 02000000
#define OPEN_TREE_CLONE 1
#endif

// AT_EMPTY_PATH: what the descriptor is of, not something in it.
#define PLACE_ITSELF 0x1000
#define SYS_MOUNT_SETATTR 442
struct mount_attributes {
  uint64_t set, clear, propagation, namespace;
};

// linux/openat2.h
struct open_how {
  uint64_t flags, mode, resolve;
};
#define RESOLVE_NO_XDEV 0x01
#define RESOLVE_NO_MAGICLINKS 0x02
#define RESOLVE_NO_SYMLINKS 0x04
#define RESOLVE_BENEATH 0x08
#define RESOLVE_IN_ROOT 0x10

// linux/btrfs.h
struct btrfs_volume_name {
  int64_t fd;
  char name[4088];
};
struct btrfs_snapshot {
  int64_t fd;
  uint64_t transaction, flags, unused[4];
  char name[4040];
};
struct btrfs_quota_control {
  uint64_t command, status;
};
struct btrfs_quota_limit {
  uint64_t group, flags, max_referenced, max_exclusive, reserved_referenced, reserved_exclusive;
};
struct btrfs_inode_lookup {
  uint64_t tree, object;
  char name[4080];
};
struct btrfs_filesystem {
  uint64_t max_id, devices;
  uint8_t fsid[16];
  uint8_t rest[992];
};
_Static_assert(sizeof(struct btrfs_snapshot) == 4096, "sizes are part of the numbers below");
_Static_assert(sizeof(struct btrfs_volume_name) == 4096 && sizeof(struct btrfs_inode_lookup) == 4096, "sizes are part of the numbers below");
_Static_assert(sizeof(struct btrfs_filesystem) == 1024 && sizeof(struct btrfs_quota_limit) == 48, "sizes are part of the numbers below");
#define BTRFS_SUBVOLUME_CREATE _IOW(0x94, 14, struct btrfs_volume_name)
#define BTRFS_SUBVOLUME_DESTROY _IOW(0x94, 15, struct btrfs_volume_name)
#define BTRFS_SNAPSHOT_CREATE _IOW(0x94, 23, struct btrfs_snapshot)
#define BTRFS_SNAPSHOT_READ_ONLY 2
#define BTRFS_INODE_LOOKUP _IOWR(0x94, 18, struct btrfs_inode_lookup)
#define BTRFS_FILESYSTEM_INFO _IOR(0x94, 31, struct btrfs_filesystem)
#define BTRFS_QUOTA_CONTROL _IOWR(0x94, 40, struct btrfs_quota_control)
#define BTRFS_QUOTA_LIMIT _IOR(0x94, 43, struct btrfs_quota_limit)
#define BTRFS_QUOTA_ENABLE_SIMPLE 4
#define BTRFS_LIMIT_MAX_REFERENCED 1
#define BTRFS_MAGIC 0x9123683E
#define BTRFS_SUBVOLUME_INODE 256

#endif
