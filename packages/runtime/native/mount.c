// MOUNT and UNMOUNT: volumes of a sandbox that runs.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel.h"
#include "volume.h"

enum { UNMOUNT_TRIES = 64, UNMOUNT_TIMEOUT_S = 10 };
// linux/stat.h
enum { STATX_BYTES = 256, STATX_MOUNT_ID = 0x1000, STATX_MOUNT_ID_AT = 144, STATX_DONT_SYNC = 0x4000 };

// A file of the process's directory in /proc, which surely is still that process's.
static int open_of_process(struct task *task, int process, const char *name, int flags) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", (int)message_number(&task->request, TAG_PID, 0), name);
  int fd = open(path, flags | O_CLOEXEC);
  if (fd < 0) task_fail(task, name, errno);
  if (syscall(SYS_pidfd_send_signal, process, 0, NULL, 0U) < 0) task_fail(task, "process", errno);
  return fd;
}

void serve_mount(struct task *task) {
  int process = open_process(&task->request);
  if (process < 0) task_fail(task, "process", -process);
  open_volumes(task, open_of_process(task, process, "root", O_PATH | O_DIRECTORY));
  if (syscall(SYS_setns, process, CLONE_NEWNS) < 0) task_fail(task, "setns", errno);
  int tree = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (tree < 0) task_fail(task, "root", errno);
  if (place_volumes(task, tree) < 0) task_fail(task, "target", errno);
  task_reply(task);
  tell_mount_ids(task);
}

// The kernel writes space, tab, newline and backslash as three octal digits.
static void unescape(char *text) {
  char *to = text;
  for (const char *from = text; *from; to++) {
    bool is_octal = from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] && from[3];
    *to = is_octal ? (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + from[3] - '0') : *from;
    from += is_octal ? 4 : 1;
  }
  *to = 0;
}

// Where the mount is by now: directories above it may have been renamed. False: it is gone.
static bool find_mount(int table, uint64_t id, char path[PATH_MAX]) {
  char *line = NULL;
  size_t size = 0;
  bool found = false;
  lseek(table, 0, SEEK_SET);
  FILE *lines = fdopen(dup(table), "r");
  while (lines && !found && getline(&line, &size, lines) > 0) {
    unsigned long long each;
    int at = 0;
    found = sscanf(line, "%llu %*s %*s %*s %n", &each, &at) == 1 && at > 0 && each == id;
    if (found) snprintf(path, PATH_MAX, "%.*s", (int)strcspn(line + at, " "), line + at);
  }
  free(line);
  if (lines) fclose(lines);
  if (found) unescape(path);
  return found;
}

// What is said of a place without a question to its filesystem. False: it is another mount, for a directory above has been renamed meanwhile.
static bool is_mount(const char *name, uint64_t id) {
  unsigned char found[STATX_BYTES];
  uint64_t there;
  const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | STATX_DONT_SYNC;
  if (syscall(SYS_statx, AT_FDCWD, name, flags, STATX_MOUNT_ID, found) < 0) return true;
  memcpy(&there, found + STATX_MOUNT_ID_AT, sizeof there);
  return there == id;
}

// By its parent, so that nothing of ours holds the mount, and that its name stays: what something is mounted on is not renamed. Who lets go of a `cow`
// last waits while its files are synced: with this copy of the mount that is the exit of this process, after its reply.
static int unmount(const char *path, uint64_t id, int flags) {
  const char *slash = strrchr(path, '/');
  char parent[PATH_MAX];
  if (!slash || !slash[1]) return refuse(EINVAL);
  snprintf(parent, sizeof parent, "%.*s", slash == path ? 1 : (int)(slash - path), path);
  int directory = open_resolved(AT_FDCWD, parent, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
  if (directory < 0 || fchdir(directory) < 0) return -1;
  close(directory);
  if (!(flags & MNT_DETACH) && !is_mount(slash + 1, id)) return refuse(ENOENT);
  if (!(flags & MNT_DETACH)) (void)!syscall(SYS_open_tree, AT_FDCWD, slash + 1, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  return umount2(slash + 1, UMOUNT_NOFOLLOW | flags);
}

void serve_unmount(struct task *task) {
  char path[PATH_MAX];
  uint64_t id = message_number(&task->request, TAG_MOUNT_ID, 0);
  int flags = message_number(&task->request, TAG_FLAGS, 0) & ATTACH_FLAG_FORCE ? MNT_DETACH : 0;
  int process = open_process(&task->request);
  if (process < 0) task_fail(task, "process", -process);
  int table = open_of_process(task, process, "mountinfo", O_RDONLY);
  if (syscall(SYS_setns, process, CLONE_NEWNS) < 0) task_fail(task, "setns", errno);
  alarm(UNMOUNT_TIMEOUT_S);
  for (int tried = 1; find_mount(table, id, path); tried++) {
    int error = unmount(path, id, flags) == 0 ? 0 : errno;
    if (!error && !(flags & MNT_DETACH)) break;
    // By force a filesystem that may not answer is not even looked up: that it was this mount is told by the table.
    bool may_have_moved = !error || error == EINVAL || error == ENOENT || error == ENOTDIR || error == ELOOP;
    if (!may_have_moved || tried == UNMOUNT_TRIES) task_fail(task, "unmount", error ? error : EAGAIN);
  }
  alarm(0);
  task_reply(task);
}
