// A disk made from a blank: an empty disk whose inode numbers start where no other blank's do. A snapshot of it counts on from there.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attach.h"
#include "kernel.h"

enum { NO_REPLACE = 1 };

int make_snapshot(int disk, int parent, const char *name, uint64_t flags) {
  static struct btrfs_snapshot args;
  args.fd = disk;
  args.flags = flags;
  strcpy(args.name, name);
  return ioctl(parent, BTRFS_SNAPSHOT_CREATE, &args) < 0 ? -errno : 0;
}

static int limit_in(int place, const char *name, uint64_t limit) {
  int disk = openat(place, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (disk < 0) return -errno;
  int error = limit_disk(disk, limit) < 0 ? -errno : 0;
  close(disk);
  return error;
}

// The kernel holds the parent directory from the snapshot to the commit that it waits for: in a directory of its own it shares that commit with
// others, and holds up nobody.
void create_from_blank(struct task *task, int parent, const char *name, uint64_t limit) {
  static struct btrfs_volume_name volume;
  char draft[NAME_MAX + 1];
  if (snprintf(draft, sizeof draft, "%s.new", name) >= (int)sizeof draft) task_fail(task, "path", ENAMETOOLONG);
  int blank = open_subvolume(task, message_text(&task->request, TAG_BLANK, ""));
  if (mkdirat(parent, draft, 0700) < 0) task_fail(task, "create", errno);
  const char *step = "snapshot";
  int place = openat(parent, draft, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  int error = place < 0 ? -errno : make_snapshot(blank, place, name, 0);
  if (!error && limit) {
    step = "limit";
    error = limit_in(place, name, limit);
  }
  if (!error) {
    step = "rename";
    error = syscall(SYS_renameat2, place, name, parent, name, NO_REPLACE) < 0 ? -errno : 0;
  }
  if (error && place >= 0) {
    strcpy(volume.name, name);
    ioctl(place, BTRFS_SUBVOLUME_DESTROY, &volume);
  }
  unlinkat(parent, draft, AT_REMOVEDIR);
  if (error) task_fail(task, step, -error);
}
