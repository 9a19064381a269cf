// A `cow` mount: the volume as the lowest layer, and what the sandbox changed in it above, as `.banyan/cow/NAME` of the sandbox's own files. So whatever
// carries those files, a freeze, a fork or an archive, carries that too: each layer of the stack that has the directory is a layer of the mount.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "kernel.h"
#include "volume.h"

enum { DEPTH = 3, FD_NAME_BYTES = 32 };

// Layers and uppers are as untrusted as what made them: nothing in the way may be a symlink or a mount.
static int open_directory(int parent, const char *name) {
  return open_resolved(parent, name, O_RDONLY | O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
}

static int open_layer(struct task *task, const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) task_fail(task, "cow layer", errno);
  return fd;
}

static bool is_opaque(int directory) {
  char mark = 0;
  return fgetxattr(directory, "trusted.overlay.opaque", &mark, 1) == 1 && mark == 'y';
}

static bool is_whiteout(int parent, const char *name) {
  struct stat stat;
  return fstatat(parent, name, &stat, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(stat.st_mode) && stat.st_rdev == makedev(0, 0);
}

// The directory that a layer has for this mount, or -1. `ends`: what the layers under it have of it is hidden.
static int find_in_layer(struct task *task, const char *path, const char *name, bool *ends) {
  const char *names[DEPTH] = {".banyan", "cow", name};
  int fd = open_layer(task, path);
  for (int i = 0; i < DEPTH && fd >= 0; i++) {
    int next = open_directory(fd, names[i]);
    bool is_other = next < 0 && (errno == ENOTDIR || errno == ELOOP || errno == EXDEV);
    if (next < 0 && errno != ENOENT && !is_other) task_fail(task, "cow layer", errno);
    if (is_other || (next >= 0 && is_opaque(next))) *ends = true;
    close(fd);
    fd = next;
  }
  return fd;
}

// One directory more on the way down. Where the sandbox has deleted it, the new one hides what the layers have, as the kernel itself would make it.
static int make_step(struct task *task, int parent, const char *name, const struct stat *rights) {
  int fd = open_directory(parent, name);
  bool was_deleted = fd < 0 && errno == ENOTDIR && is_whiteout(parent, name);
  if (fd >= 0 || (!was_deleted && errno != ENOENT)) return fd;
  if (was_deleted && unlinkat(parent, name, 0) < 0) task_fail(task, "cow directory", errno);
  if (mkdirat(parent, name, 0700) < 0 && errno != EEXIST) task_fail(task, "cow directory", errno);
  fd = open_directory(parent, name);
  if (fd < 0) task_fail(task, "cow directory", errno);
  if (was_deleted && fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0) task_fail(task, "cow directory", errno);
  if (rights && (fchown(fd, rights->st_uid, rights->st_gid) < 0 || fchmod(fd, rights->st_mode & 07777) < 0)) task_fail(task, "cow directory", errno);
  return fd;
}

// The directory for this mount below ROOT, made where it is missing with RIGHTS.
static int make_directory(struct task *task, int root, const char *name, const struct stat *rights) {
  const char *names[DEPTH] = {".banyan", "cow", name};
  int fd = dup(root);
  for (int i = 0; i < DEPTH && fd >= 0; i++) {
    int next = make_step(task, fd, names[i], i == DEPTH - 1 ? rights : NULL);
    int error = errno;
    close(fd);
    errno = error;
    fd = next;
  }
  if (fd < 0) task_fail(task, "cow directory", errno);
  return fd;
}

// In a running sandbox, through its own tree: the kernel does not expect its upper to change under it. To set its rights, though they are the same,
// makes the directory one of the upper's own where it was only in a layer.
static void make_through(struct task *task, int tree, const char *name, const struct stat *rights) {
  int root = open_resolved(tree, ".", O_RDONLY | O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  struct stat stat;
  if (root < 0) task_fail(task, "cow directory", errno);
  int fd = make_directory(task, root, name, rights);
  if (fstat(fd, &stat) < 0 || fchmod(fd, stat.st_mode & 07777) < 0) task_fail(task, "cow directory", errno);
  close(fd);
  close(root);
}

static int open_upper(struct task *task, const struct volume *volume, int tree, const struct stat *rights) {
  int disk = open_layer(task, message_text(&task->request, TAG_UPPER, ""));
  if (tree >= 0) make_through(task, tree, volume->cow, rights);
  int upper = make_directory(task, disk, volume->cow, rights);
  close(disk);
  return upper;
}

// The layers that have something for this mount, top first, as descriptors.
static int find_layers(struct task *task, const struct volume *volume, int *fds, bool ends) {
  int count = 0;
  for (uint32_t i = 0; i < task->request.count && !ends; i++) {
    if (task->request.fields[i].tag != TAG_LOWER) continue;
    int fd = find_in_layer(task, task->request.fields[i].bytes, volume->cow, &ends);
    if (fd >= 0) fds[count++] = fd;
  }
  return count;
}

int mount_cow(struct task *task, const struct volume *volume, int source, int tree, bool at_once) {
  const struct message *request = &task->request;
  uint32_t most = message_count(request, TAG_LOWER) + 1;
  int *fds = malloc(most * sizeof *fds);
  char(*names)[FD_NAME_BYTES] = malloc((most + 1) * sizeof *names);
  const char **lower = malloc(most * sizeof *lower);
  struct stat rights;
  if (!fds || !names || !lower) task_fail(task, "cow", ENOMEM);
  if (!*volume->cow || strchr(volume->cow, '/') || *volume->cow == '.' || !message_has(request, TAG_UPPER)) task_fail(task, "cow", EINVAL);
  bool ends = false;
  int own = find_in_layer(task, message_text(request, TAG_UPPER, ""), volume->cow, &ends);
  int count = find_layers(task, volume, fds, ends);
  if (fstat(count > 0 ? fds[0] : source, &rights) < 0) task_fail(task, "cow", errno);
  if (own >= 0) close(own);
  int upper = open_upper(task, volume, tree, &rights);
  fds[count++] = source;
  for (int i = 0; i < count; i++) {
    snprintf(names[i], sizeof *names, "/proc/self/fd/%d", fds[i]);
    lower[i] = names[i];
  }
  snprintf(names[count], sizeof *names, "/proc/self/fd/%d", upper);
  if (mkdir(volume->work, 0700) < 0 && errno != EEXIST) task_fail(task, "cow work", errno);
  const struct overlay overlay = {.lower = lower, .count = count, .upper = names[count], .work = volume->work};
  int mount = at_once ? mount_at_once(task, &overlay) : mount_layer_by_layer(task, &overlay);
  for (int i = 0; i < count - 1; i++) close(fds[i]);
  close(upper);
  free(fds);
  free(names);
  free(lower);
  return mount;
}
