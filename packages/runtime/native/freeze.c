// FREEZE: a sandbox's disk as it is at one moment, while its processes stand still.
#include "attach.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kernel.h"

enum { FREEZE_TIMEOUT_US = 10000000, AGAIN_US = 100000, POLL_US = 100, STATE_BYTES = 256 };

// The files of one freezer: those of cgroup v1 and v2 differ in name and in what they say.
struct freezer {
  char control[PATH_MAX], state[PATH_MAX];
  const char *freeze, *thaw, *frozen;
};

static struct freezer find_freezer(struct task *task, const char *directory) {
  struct freezer freezer;
  if (!cgroup_path_valid(directory) || strlen(directory) > PATH_MAX - 32) task_fail(task, "freezer", EINVAL);
  snprintf(freezer.control, sizeof freezer.control, "%s/freezer.state", directory);
  if (access(freezer.control, F_OK) == 0) {
    strcpy(freezer.state, freezer.control);
    freezer.freeze = "FROZEN";
    freezer.thaw = "THAWED";
    freezer.frozen = "FROZEN";
    return freezer;
  }
  snprintf(freezer.control, sizeof freezer.control, "%s/cgroup.freeze", directory);
  snprintf(freezer.state, sizeof freezer.state, "%s/cgroup.events", directory);
  freezer.freeze = "1";
  freezer.thaw = "0";
  freezer.frozen = "frozen 1";
  return freezer;
}

static int say(const struct freezer *freezer, const char *word) {
  int fd = open(freezer->control, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  int error = write(fd, word, strlen(word)) < 0 ? -errno : 0;
  close(fd);
  return error;
}

static bool is_frozen(const struct freezer *freezer) {
  char text[STATE_BYTES] = "";
  int fd = open(freezer->state, O_RDONLY | O_CLOEXEC);
  ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  return got > 0 && strstr(text, freezer->frozen) != NULL;
}

// A process in the middle of a system call stands still at its end: one whose write is held back until the disk has caught up takes seconds.
// The others stand still meanwhile, so that nothing new is added to what it waits for. A process that forks at the wrong moment escapes the
// freezer of cgroup v1, which then waits for it for ever, so it is told anew from time to time.
static int freeze(const struct freezer *freezer) {
  int error = say(freezer, freezer->freeze);
  uint64_t until_us = now_us() + FREEZE_TIMEOUT_US, again_us = now_us() + AGAIN_US;
  while (!error && !is_frozen(freezer)) {
    uint64_t now = now_us();
    if (now > until_us) return -ETIMEDOUT;
    if (now > again_us) {
      again_us = now + AGAIN_US;
      error = say(freezer, freezer->thaw);
      usleep(POLL_US);
      if (!error) error = say(freezer, freezer->freeze);
    }
    usleep(POLL_US);
  }
  return error;
}

// What is dirty is written while the sandbox still runs, by a snapshot that nobody keeps: the one that counts then has next to nothing to write.
static int flush(int disk, int parent, const char *name) {
  static struct btrfs_volume_name volume;
  strcpy(volume.name, name);
  int error = make_snapshot(disk, parent, name, BTRFS_SNAPSHOT_READ_ONLY);
  if (!error && ioctl(parent, BTRFS_SUBVOLUME_DESTROY, &volume) < 0) error = -errno;
  return error;
}

void serve_freeze(struct task *task) {
  char path[PATH_MAX];
  const char *name = NULL, *directory = message_text(&task->request, TAG_FREEZER, NULL);
  bool is_plain = message_number(&task->request, TAG_FLAGS, 0) & ATTACH_FLAG_PLAIN;
  int disk = -1, parent = -1, error = 0;
  struct freezer freezer;
  if (directory) freezer = find_freezer(task, directory);
  if (!is_plain) {
    disk = open_subvolume(task, message_text(&task->request, TAG_PATH, ""));
    parent = open_disk_parent(task, message_text(&task->request, TAG_TO, ""), path, &name);
    if (strlen(name) >= NAME_MAX) task_fail(task, "path", ENAMETOOLONG);
  }
  if (directory && !is_plain && (error = flush(disk, parent, name))) task_fail(task, "flush", -error);
  uint64_t began_us = now_us();
  // From here to the thaw nothing may end this process early.
  const char *step = "freeze";
  if (directory) error = freeze(&freezer);
  if (!error) {
    step = is_plain ? "copy" : "snapshot";
    error = is_plain ? run_tool_quietly(task) : make_snapshot(disk, parent, name, BTRFS_SNAPSHOT_READ_ONLY);
  }
  int thawed = directory ? say(&freezer, freezer.thaw) : 0;
  uint64_t paused_us = directory ? now_us() - began_us : 0;
  if (error) task_fail(task, step, -error);
  if (thawed) task_fail(task, "thaw", -thawed);
  task_reply(task);
  sink_number(&task->sink, TAG_PAUSED_US, paused_us);
}
