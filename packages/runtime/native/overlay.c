// Layers and an upper put together, as a mount that is nowhere yet.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attach.h"
#include "kernel.h"

enum { MOUNT_STRING_MAX = 255, MOUNT_DATA_MAX = 4096 };

static void set_string(struct task *task, int config, const char *key, const char *value) {
  if (strlen(value) > MOUNT_STRING_MAX) task_fail(task, key, ENAMETOOLONG);
  if (syscall(SYS_fsconfig, config, FSCONFIG_SET_STRING, key, value, 0) < 0) task_fail(task, key, errno);
}

int mount_layer_by_layer(struct task *task, const struct overlay *overlay) {
  int config = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);
  if (config < 0) task_fail(task, "fsopen", errno);
  for (int i = 0; i < overlay->count; i++) {
    if (strlen(overlay->lower[i]) > MOUNT_STRING_MAX) task_fail(task, "lowerdir", ENAMETOOLONG);
    if (syscall(SYS_fsconfig, config, FSCONFIG_SET_STRING, "lowerdir+", overlay->lower[i], 0) == 0) continue;
    if (errno != EINVAL) task_fail(task, "lowerdir", errno);
    close(config);
    return -1;
  }
  set_string(task, config, "upperdir", overlay->upper);
  set_string(task, config, "workdir", overlay->work);
  if (overlay->is_volatile && syscall(SYS_fsconfig, config, FSCONFIG_SET_FLAG, "volatile", NULL, 0) < 0) task_fail(task, "volatile", errno);
  int tree = -1;
  if (syscall(SYS_fsconfig, config, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) {
    // An older kernel takes any key and only here finds one that it does not know.
    if (errno != EINVAL) task_fail(task, "overlay", errno);
  } else {
    tree = (int)syscall(SYS_fsmount, config, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV);
    if (tree < 0) task_fail(task, "fsmount", errno);
  }
  close(config);
  return tree;
}

// Adds KEY and a descriptor's name for PATH: 20 bytes instead of 100 and more, and no character of a path can be taken for a separator.
static void add_path(struct task *task, char data[MOUNT_DATA_MAX], const char *key, const char *path) {
  int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) task_fail(task, path, errno);
  size_t used = strlen(data);
  int length = snprintf(data + used, MOUNT_DATA_MAX - used, "%s/proc/self/fd/%d", key, fd);
  if (length < 0 || (size_t)length >= MOUNT_DATA_MAX - used) task_fail(task, "mount options", ENAMETOOLONG);
}

void take_own_mounts(struct task *task) {
  static bool has_own;
  if (has_own) return;
  if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) task_fail(task, "mount namespace", errno);
  has_own = true;
}

int mount_at_once(struct task *task, const struct overlay *overlay) {
  static char data[MOUNT_DATA_MAX];
  const char *key = "lowerdir=";
  data[0] = 0;
  // First, for a layer is taken only from a mount of the namespace that mounts.
  take_own_mounts(task);
  for (int i = 0; i < overlay->count; i++) {
    add_path(task, data, key, overlay->lower[i]);
    key = ":";
  }
  add_path(task, data, ",upperdir=", overlay->upper);
  add_path(task, data, ",workdir=", overlay->work);
  if (overlay->is_volatile) strncat(data, ",volatile", sizeof data - strlen(data) - 1);
  // On top of the work directory's own path: whatever is there is of no use to anybody else.
  if (mount("overlay", overlay->work, "overlay", MS_NODEV, data) < 0) task_fail(task, "overlay", errno);
  int tree = (int)syscall(SYS_open_tree, AT_FDCWD, overlay->work, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (tree < 0) task_fail(task, "open_tree", errno);
  umount2(overlay->work, MNT_DETACH);
  return tree;
}

int mount_overlay(struct task *task) {
  const struct message *request = &task->request;
  uint64_t flags = message_number(request, TAG_FLAGS, 0);
  char **lower = message_texts(request, TAG_LOWER, 0);
  if (!lower) task_fail(task, "layers", ENOMEM);
  struct overlay overlay = {
      .lower = (const char *const *)lower,
      .count = (int)message_count(request, TAG_LOWER),
      .upper = message_text(request, TAG_UPPER, ""),
      .work = message_text(request, TAG_WORK, ""),
      .is_volatile = flags & ATTACH_FLAG_VOLATILE,
  };
  int tree = flags & ATTACH_FLAG_AT_ONCE ? -1 : mount_layer_by_layer(task, &overlay);
  return tree < 0 ? mount_at_once(task, &overlay) : tree;
}
