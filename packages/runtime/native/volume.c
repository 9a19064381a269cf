// Volumes of a sandbox: opened as the host sees them, and then placed in the sandbox's tree.
#include "volume.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel.h"

// Whoever waits for a filesystem that does not answer is ended by the alarm: the helper has only so many places.
enum { VOLUMES_MAX = 32, TEXTS = 6, AGAIN_MAX = 32, SOURCE_TIMEOUT_S = 10, ID_BYTES = 8 };

static struct volume volumes[VOLUMES_MAX];
static int volume_count;

int open_resolved(int directory, const char *path, int flags, uint64_t resolve) {
  struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC), .resolve = resolve};
  for (int tried = 1;; tried++) {
    int fd = (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
    if (fd >= 0 || errno != EAGAIN || tried == AGAIN_MAX) return fd;
  }
}

static void take_volume(struct task *task, const struct field *field) {
  if (volume_count == VOLUMES_MAX) task_fail(task, "volumes", E2BIG);
  struct volume *volume = &volumes[volume_count++];
  volume->mount = -1;
  const char **texts[TEXTS] = {&volume->mode, &volume->target, &volume->source, &volume->subpath, &volume->cow, &volume->work};
  const char *at = field->bytes, *end = field->bytes + field->length;
  for (int i = 0; i < TEXTS; i++) {
    size_t length = strnlen(at, (size_t)(end - at));
    if (at + length == end) task_fail(task, "volume", EINVAL);
    *texts[i] = at;
    at += length + 1;
  }
  bool has_mode = !strcmp(volume->mode, "rw") || !strcmp(volume->mode, "ro") || !strcmp(volume->mode, "cow");
  if (at != end || !has_mode || *volume->target != '/' || strlen(volume->target) >= PATH_MAX) task_fail(task, "volume", EINVAL);
}

static bool is_cow(const struct volume *volume) { return strcmp(volume->mode, "cow") == 0; }

// A symlink on the way, and at its end, leads only to what is in the volume.
static int open_source(struct task *task, struct volume *volume) {
  int source = open(volume->source, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (source < 0) task_fail(task, "source", errno);
  if (!*volume->subpath) return source;
  int inside = open_resolved(source, volume->subpath, O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
  if (inside < 0) task_fail(task, "subpath", errno);
  close(source);
  return inside;
}

// As the kernel counts it, without a question to the filesystem, which may not answer.
static uint64_t read_mount_id(struct task *task, int mount) {
  char path[64], text[256] = "";
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", mount);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  const char *found = fd >= 0 && read(fd, text, sizeof text - 1) > 0 ? strstr(text, "mnt_id:") : NULL;
  if (!found) task_fail(task, "mount id", EIO);
  close(fd);
  return strtoull(found + sizeof "mnt_id:" - 1, NULL, 10);
}

// Nobody inside may use a device or a set-user-id program that somebody put into the volume, or undo that.
static void guard(struct task *task, struct volume *volume) {
  struct mount_attributes attributes = {.set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID, .propagation = MS_PRIVATE};
  if (strcmp(volume->mode, "ro") == 0) attributes.set |= MOUNT_ATTR_RDONLY;
  if (syscall(SYS_MOUNT_SETATTR, volume->mount, "", PLACE_ITSELF, &attributes, sizeof attributes) < 0) task_fail(task, "guard", errno);
  volume->mount_id = read_mount_id(task, volume->mount);
}

// False where a kernel wants to be asked for all layers of a `cow` at once.
static bool open_volume(struct task *task, struct volume *volume, int tree, bool at_once) {
  struct stat stat;
  int source = open_source(task, volume);
  if (fstat(source, &stat) < 0) task_fail(task, "source", errno);
  volume->is_file = S_ISREG(stat.st_mode);
  if (!volume->is_file && !S_ISDIR(stat.st_mode)) task_fail(task, "subpath", ENOTDIR);
  if (is_cow(volume)) {
    if (volume->is_file) task_fail(task, "cow", ENOTDIR);
    volume->mount = mount_cow(task, volume, source, tree, at_once);
  } else {
    volume->mount = (int)syscall(SYS_open_tree, source, "", PLACE_ITSELF | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (volume->mount < 0) task_fail(task, "clone", errno);
  }
  close(source);
  if (volume->mount < 0) return false;
  guard(task, volume);
  return true;
}

static bool open_all(struct task *task, int tree, bool at_once) {
  for (int i = 0; i < volume_count; i++) {
    task->place = volumes[i].target;
    if (!open_volume(task, &volumes[i], tree, at_once)) return false;
  }
  task->place = NULL;
  return true;
}

void open_volumes(struct task *task, int tree) {
  for (uint32_t i = 0; i < task->request.count; i++) {
    if (task->request.fields[i].tag == TAG_VOLUME) take_volume(task, &task->request.fields[i]);
  }
  if (volume_count == 0) return;
  bool at_once = message_number(&task->request, TAG_FLAGS, 0) & ATTACH_FLAG_AT_ONCE;
  alarm(SOURCE_TIMEOUT_S);
  // What is opened from here on is taken only from a mount of the namespace that mounts.
  if (at_once) take_own_mounts(task);
  if (!open_all(task, tree, at_once)) {
    for (int i = 0; i < volume_count; i++) {
      if (volumes[i].mount >= 0) close(volumes[i].mount);
    }
    take_own_mounts(task);
    open_all(task, tree, true);
  }
  alarm(0);
}

// Resolved as the sandbox itself would, and only on its own filesystem: neither a link nor a mount of the kernel's leads to another one.
static int open_in_tree(int tree, const char *path, int flags) {
  return open_resolved(tree, path, O_PATH | flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
}

static int make_entry(int parent, const char *name, bool is_file) {
  int made = is_file ? openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644) : mkdirat(parent, name, 0755);
  if (is_file && made >= 0) close(made);
  return made < 0 && errno != EEXIST ? -1 : 0;
}

// Where a volume goes, made where it is missing.
static int open_target(int tree, char *path, bool is_file) {
  int kind = is_file ? 0 : O_DIRECTORY, fd = open_in_tree(tree, path, kind);
  char *slash = strrchr(path, '/');
  if (fd >= 0 || errno != ENOENT || !slash || !slash[1]) return fd;
  *slash = 0;
  int parent = slash == path ? dup(tree) : open_target(tree, path, false);
  int error = parent < 0 ? errno : make_entry(parent, slash + 1, is_file) < 0 ? errno : 0;
  if (parent >= 0) close(parent);
  *slash = '/';
  errno = error;
  return error ? -1 : open_in_tree(tree, path, kind);
}

int refuse(int error) {
  errno = error;
  return -1;
}

static int place(int tree, struct volume *volume) {
  char path[PATH_MAX];
  struct stat root, stat;
  strcpy(path, volume->target);
  int target = open_target(tree, path, volume->is_file);
  if (target < 0 || fstat(target, &stat) < 0 || fstat(tree, &root) < 0) return -1;
  if (stat.st_dev == root.st_dev && stat.st_ino == root.st_ino) return refuse(EBUSY);
  if (volume->is_file && !S_ISREG(stat.st_mode)) return refuse(S_ISDIR(stat.st_mode) ? EISDIR : EINVAL);
  int placed = (int)syscall(SYS_move_mount, volume->mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
  int error = errno;
  close(target);
  errno = error;
  return placed;
}

int place_volumes(struct task *task, int tree) {
  umask(022);
  for (int i = 0; i < volume_count; i++) {
    if (place(tree, &volumes[i]) < 0) {
      task->place = volumes[i].target;
      return -1;
    }
    // Else whoever unmounts it right after the reply finds it in use.
    close(volumes[i].mount);
  }
  return 0;
}

void tell_mount_ids(struct task *task) {
  uint64_t ids[VOLUMES_MAX];
  for (int i = 0; i < volume_count; i++) ids[i] = htole64(volumes[i].mount_id);
  if (volume_count > 0) sink_bytes(&task->sink, TAG_MOUNT_ID, ids, ID_BYTES * (size_t)volume_count);
}
