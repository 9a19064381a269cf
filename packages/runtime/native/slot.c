// ATTACH and KILL: what is done to the process that holds a slot.
#include "attach.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel.h"
#include "volume.h"

enum { STARTTIME_COLUMN = 22, STAT_BYTES = 1024, KILL_TIMEOUT_MS = 30000 };
enum { LEAVE_TIMEOUT_MS = 10000, UNMOUNT_STACK_BYTES = 16 * 1024 };

// Column 22 of /proc/PID/stat; the second column is a name that may hold anything, so counting starts after it.
static int read_starttime(pid_t pid, uint64_t *starttime) {
  char path[64], text[STAT_BYTES];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -ESRCH;
  ssize_t got = read(fd, text, sizeof text - 1);
  close(fd);
  if (got <= 0) return -ESRCH;
  text[got] = 0;
  char *at = strrchr(text, ')');
  for (int column = 2; at && column < STARTTIME_COLUMN; column++) at = strchr(at + 1, ' ');
  if (!at) return -ESRCH;
  *starttime = strtoull(at + 1, NULL, 10);
  return 0;
}

// A descriptor of exactly the process that was meant, or a negative errno: it is opened before its start time is compared.
int open_process(const struct message *request) {
  pid_t pid = (pid_t)message_number(request, TAG_PID, 0);
  uint64_t starttime = 0;
  if (pid <= 1) return -EINVAL;
  int fd = (int)syscall(SYS_pidfd_open, pid, 0U);
  if (fd < 0) return -errno;
  int error = read_starttime(pid, &starttime);
  if (!error && starttime != message_number(request, TAG_STARTTIME, 0)) error = -ESRCH;
  if (!error) return fd;
  close(fd);
  return error;
}

bool cgroup_path_valid(const char *path) {
  static const char root[] = "/sys/fs/cgroup/";
  return strncmp(path, root, sizeof root - 1) == 0 && !strstr(path, "/../");
}

static void write_cgroup(struct task *task, const struct field *entry) {
  size_t length = strnlen(entry->bytes, entry->length);
  if (length == entry->length || !cgroup_path_valid(entry->bytes)) task_fail(task, "cgroup", EINVAL);
  int fd = open(entry->bytes, O_WRONLY | O_CLOEXEC);
  size_t size = entry->length - length - 1;
  if (fd < 0 || write(fd, entry->bytes + length + 1, size) != (ssize_t)size) task_fail(task, entry->bytes, errno);
  close(fd);
}

void write_cgroups(struct task *task) {
  for (uint32_t i = 0; i < task->request.count; i++) {
    if (task->request.fields[i].tag == TAG_CGROUP) write_cgroup(task, &task->request.fields[i]);
  }
}

void serve_cgroup(struct task *task) {
  write_cgroups(task);
  task_reply(task);
}

// No eth0 is as good as one that is down.
static void take_network_down(struct task *task) {
  struct ifreq interface = {.ifr_name = "eth0"};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) task_fail(task, "network", errno);
  if (ioctl(fd, SIOCGIFFLAGS, &interface) < 0) {
    if (errno != ENODEV) task_fail(task, "network", errno);
  } else {
    interface.ifr_flags = (short)(interface.ifr_flags & ~IFF_UP);
    if (ioctl(fd, SIOCSIFFLAGS, &interface) < 0) task_fail(task, "network", errno);
  }
  close(fd);
}

static const char *const carried[] = {"proc", "dev", "sys"};
enum { CARRIED = sizeof carried / sizeof *carried };

static void make_mount_points(struct task *task, int tree) {
  for (int i = 0; i < CARRIED; i++) {
    if (mkdirat(tree, carried[i], 0755) < 0 && errno != EEXIST) task_fail(task, carried[i], errno);
  }
  if (mkdirat(tree, "tmp", 01777) == 0) fchmodat(tree, "tmp", 01777, 0);
}

static int move_to(int mount, int directory, const char *path) {
  return (int)syscall(SYS_move_mount, mount, "", directory, path, MOVE_MOUNT_F_EMPTY_PATH);
}

// After the pivot the old root lies on top of the new one, where `/..` leads to it.
static bool old_root_is_gone(void) {
  struct stat root, above;
  return stat("/", &root) == 0 && stat("/..", &above) == 0 && root.st_dev == above.st_dev && root.st_ino == above.st_ino;
}

static int unmount_old_root(void *unused) {
  (void)unused;
  return umount2(".", MNT_DETACH);
}

// The unmount takes the old root out of reach at once, and only then waits, for every reader of the kernel's mount table and for a sync of
// what lies below. Nobody else needs to wait for that, so it is done by a process beside, which shares what we have and outlives the reply.
static int leave_old_root(void) {
  static _Alignas(16) char stack[UNMOUNT_STACK_BYTES];
  if (clone(unmount_old_root, stack + sizeof stack, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_PARENT | SIGCHLD, NULL) < 0) {
    return unmount_old_root(NULL);
  }
  uint64_t until_us = now_us() + LEAVE_TIMEOUT_MS * 1000;
  while (!old_root_is_gone()) {
    if (now_us() > until_us) {
      errno = ETIMEDOUT;
      return -1;
    }
    sched_yield();
  }
  return 0;
}

// Whoever lets go of an overlay last waits while the filesystem below it is synced. With this reference to all mounts of a slot that is the exit of
// this process, after its reply.
static void hold(const char *path) { (void)!open(path, O_RDONLY | O_CLOEXEC); }

// Until the pivot everything can be put back, so a failure leaves the slot as it was.
static void change_root(struct task *task, int tree) {
  int mounts[CARRIED], moved = 0, error;
  const char *step = "move";
  if (move_to(tree, AT_FDCWD, "/new") < 0) task_fail(task, "move to /new", errno);
  for (; moved < CARRIED; moved++) {
    char path[16];
    snprintf(path, sizeof path, "/%s", carried[moved]);
    mounts[moved] = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLOEXEC);
    step = carried[moved];
    // The target is not followed when it is a symlink: an image cannot place these mounts elsewhere.
    if (mounts[moved] < 0 || move_to(mounts[moved], tree, carried[moved]) < 0) goto undo;
  }
  // After the kernel's own, so that no link leads a volume into one of those.
  step = "target";
  if (place_volumes(task, tree) < 0) goto undo;
  task->place = NULL;
  step = "pivot_root";
  if (fchdir(tree) == 0 && syscall(SYS_pivot_root, ".", ".") == 0) {
    if (leave_old_root() < 0) task_fail(task, "old root", errno);
    return;
  }
undo:
  error = errno;
  while (moved-- > 0) {
    char path[16];
    snprintf(path, sizeof path, "/%s", carried[moved]);
    move_to(mounts[moved], AT_FDCWD, path);
  }
  umount2("/new", MNT_DETACH);
  task_fail(task, step, error);
}

void serve_attach(struct task *task) {
  const struct message *request = &task->request;
  const char *hostname = message_text(request, TAG_HOSTNAME, NULL);
  bool net_down = message_number(request, TAG_FLAGS, 0) & ATTACH_FLAG_NET_DOWN;
  int process = open_process(request);
  if (process < 0) task_fail(task, "process", -process);
  uint64_t before_cgroup_us = now_us();
  write_cgroups(task);
  uint64_t before_mount_us = now_us();
  bool seeded = seed_upper(task);
  open_volumes(task, -1);
  int tree = mount_overlay(task);
  if (!seeded) seed_tree(task, tree);
  make_mount_points(task, tree);
  uint64_t before_pivot_us = now_us();
  if (syscall(SYS_setns, process, CLONE_NEWNS | CLONE_NEWUTS | (net_down ? CLONE_NEWNET : 0)) < 0) task_fail(task, "setns", errno);
  if (hostname && sethostname(hostname, strlen(hostname)) < 0) task_fail(task, "sethostname", errno);
  if (net_down) take_network_down(task);
  change_root(task, tree);
  uint64_t end_us = now_us();
  task_reply(task);
  sink_number(&task->sink, TAG_CGROUP_US, before_mount_us - before_cgroup_us);
  sink_number(&task->sink, TAG_MOUNT_US, before_pivot_us - before_mount_us);
  sink_number(&task->sink, TAG_PIVOT_US, end_us - before_pivot_us);
  sink_number(&task->sink, TAG_TOTAL_US, end_us - task->started_us);
  tell_mount_ids(task);
}

void serve_kill(struct task *task) {
  uint64_t timeout_ms = message_number(&task->request, TAG_TIMEOUT_MS, KILL_TIMEOUT_MS);
  int process = open_process(&task->request);
  if (process < 0 && process != -ESRCH) task_fail(task, "process", -process);
  if (process >= 0) {
    struct pollfd ended = {.fd = process, .events = POLLIN};
    char mounts[64];
    snprintf(mounts, sizeof mounts, "/proc/%d/ns/mnt", (int)message_number(&task->request, TAG_PID, 0));
    hold(mounts);
    if (syscall(SYS_pidfd_send_signal, process, SIGKILL, NULL, 0U) < 0 && errno != ESRCH) task_fail(task, "signal", errno);
    int count = poll(&ended, 1, timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms);
    if (count < 0) task_fail(task, "wait", errno);
    if (count == 0) task_fail(task, "wait", ETIMEDOUT);
  }
  task_reply(task);
}
