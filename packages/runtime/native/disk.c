// The disk of one sandbox: a btrfs subvolume with a simple quota, or a plain directory where there is no btrfs.
#include "attach.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "kernel.h"

static const char *path_of(const struct task *task) { return message_text(&task->request, TAG_PATH, ""); }

int open_disk_parent(struct task *task, const char *given, char path[PATH_MAX], const char **name) {
  if (*given != '/' || strlen(given) >= PATH_MAX) task_fail(task, "path", EINVAL);
  strcpy(path, given);
  char *slash = strrchr(path, '/');
  *slash = 0;
  *name = slash + 1;
  if (!**name || strcmp(*name, ".") == 0 || strcmp(*name, "..") == 0) task_fail(task, "path", EINVAL);
  int parent = open(*path ? path : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (parent < 0) task_fail(task, "parent", errno);
  return parent;
}

static void name_volume(struct task *task, struct btrfs_volume_name *volume, const char *name) {
  if (strlen(name) >= NAME_MAX) task_fail(task, "path", ENAMETOOLONG);
  strcpy(volume->name, name);
}

int open_subvolume(struct task *task, const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat stat;
  struct statfs filesystem;
  if (fd < 0 || fstat(fd, &stat) < 0 || fstatfs(fd, &filesystem) < 0) task_fail(task, "open", errno);
  if ((uint32_t)filesystem.f_type != BTRFS_MAGIC || stat.st_ino != BTRFS_SUBVOLUME_INODE) task_fail(task, "subvolume", ENOTTY);
  return fd;
}

int limit_disk(int disk, uint64_t limit) {
  struct btrfs_quota_limit args = {.flags = BTRFS_LIMIT_MAX_REFERENCED, .max_referenced = limit ? limit : UINT64_MAX};
  return ioctl(disk, BTRFS_QUOTA_LIMIT, &args);
}

void serve_disk_create(struct task *task) {
  static struct btrfs_volume_name volume;
  char path[PATH_MAX];
  const char *name;
  bool plain = message_number(&task->request, TAG_FLAGS, 0) & ATTACH_FLAG_PLAIN;
  uint64_t limit = message_number(&task->request, TAG_LIMIT, 0);
  if (plain && limit) task_fail(task, "a plain directory has no limit", EINVAL);
  int parent = open_disk_parent(task, path_of(task), path, &name);
  name_volume(task, &volume, name);
  if (message_has(&task->request, TAG_BLANK)) {
    if (plain) task_fail(task, "a plain directory has no blank", EINVAL);
    create_from_blank(task, parent, name, limit);
    task_reply(task);
    return;
  }
  int made = plain ? mkdirat(parent, name, 0700) : ioctl(parent, BTRFS_SUBVOLUME_CREATE, &volume);
  if (made < 0) task_fail(task, "create", errno);
  int disk = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  bool ready = disk >= 0 && fchmod(disk, 0700) == 0 && mkdirat(disk, "upper", 0755) == 0 && mkdirat(disk, "work", 0700) == 0 &&
               (!limit || limit_disk(disk, limit) == 0);
  if (!ready) {
    int error = errno;
    if (disk >= 0) {
      unlinkat(disk, "upper", AT_REMOVEDIR);
      unlinkat(disk, "work", AT_REMOVEDIR);
    }
    if (plain) unlinkat(parent, name, AT_REMOVEDIR);
    else ioctl(parent, BTRFS_SUBVOLUME_DESTROY, &volume);
    task_fail(task, limit ? "limit" : "prepare", error);
  }
  task_reply(task);
}

void serve_disk_delete(struct task *task) {
  static struct btrfs_volume_name volume;
  char path[PATH_MAX];
  const char *name;
  close(open_subvolume(task, path_of(task)));
  int parent = open_disk_parent(task, path_of(task), path, &name);
  name_volume(task, &volume, name);
  if (ioctl(parent, BTRFS_SUBVOLUME_DESTROY, &volume) < 0) task_fail(task, "destroy", errno);
  task_reply(task);
}

void serve_disk_limit(struct task *task) {
  if (limit_disk(open_subvolume(task, path_of(task)), message_number(&task->request, TAG_LIMIT, 0)) < 0) task_fail(task, "limit", errno);
  task_reply(task);
}

void serve_disk_enable(struct task *task) {
  struct btrfs_quota_control control = {.command = BTRFS_QUOTA_ENABLE_SIMPLE};
  int fd = open(path_of(task), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) task_fail(task, "open", errno);
  if (ioctl(fd, BTRFS_QUOTA_CONTROL, &control) < 0 && errno != EEXIST) task_fail(task, "quota", errno);
  task_reply(task);
}

// The kernel shows each quota group in sysfs: the file is far simpler than a search of the quota tree.
void serve_disk_usage(struct task *task) {
  static struct btrfs_inode_lookup lookup = {.object = BTRFS_SUBVOLUME_INODE};
  static struct btrfs_filesystem filesystem;
  int fd = open_subvolume(task, path_of(task));
  if (ioctl(fd, BTRFS_INODE_LOOKUP, &lookup) < 0) task_fail(task, "lookup", errno);
  if (ioctl(fd, BTRFS_FILESYSTEM_INFO, &filesystem) < 0) task_fail(task, "filesystem", errno);
  char path[160], text[32] = "", *end = path + snprintf(path, sizeof path, "/sys/fs/btrfs/");
  for (int i = 0; i < 16; i++) {
    bool dash = i == 4 || i == 6 || i == 8 || i == 10;
    end += snprintf(end, 4, "%s%02x", dash ? "-" : "", filesystem.fsid[i]);
  }
  snprintf(end, 64, "/qgroups/0_%llu/referenced", (unsigned long long)lookup.tree);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0 || read(file, text, sizeof text - 1) <= 0) task_fail(task, "quota group", errno);
  task_reply(task);
  sink_number(&task->sink, TAG_SIZE, strtoull(text, NULL, 10));
}
