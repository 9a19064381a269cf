#include "changes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

bool is_directory(const struct found *found) { return found->present && S_ISDIR(found->stat.st_mode); }

// A snapshot of a file keeps its number and the time that nobody inside can set.
bool same_inode(const struct found *one, const struct found *other) {
  const struct stat *a = &one->stat, *b = &other->stat;
  return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
         a->st_ctim.tv_nsec == b->st_ctim.tv_nsec && a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

void add_layer(struct layers *layers, int fd, int most) {
  if (!layers->fds) layers->fds = malloc(sizeof *layers->fds * (size_t)most);
  if (!layers->fds) fail("layers", ENOMEM);
  layers->fds[layers->count++] = fd;
}

void release(struct layers *layers) {
  for (int i = 0; i < layers->count; i++) close(layers->fds[i]);
  free(layers->fds);
  *layers = (struct layers){0};
}

static bool is_whiteout(int parent, const char *name, const struct stat *stat) {
  if (S_ISCHR(stat->st_mode)) return stat->st_rdev == makedev(0, 0);
  if (!S_ISREG(stat->st_mode) || stat->st_size > 0) return false;
  int fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return false;
  char link[32];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  bool has_mark = getxattr(link, "trusted.overlay.whiteout", NULL, 0) >= 0;
  close(fd);
  return has_mark;
}

// One layer's directory below, and whether it hides those of the layers under it. -1 where it has gone since it was seen.
static int open_directory(int parent, const char *name, bool *is_opaque) {
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) {
    if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP) fail(name, errno);
    return -1;
  }
  char mark = 0;
  *is_opaque = fgetxattr(fd, "trusted.overlay.opaque", &mark, 1) == 1 && mark == 'y';
  // Our mounts make none: such a directory takes its content from another one's name.
  if (fgetxattr(fd, "trusted.overlay.redirect", NULL, 0) >= 0) fail(name, EOPNOTSUPP);
  return fd;
}

// What a stack of layers shows under a name. A directory is put together from all layers that have it: they go into `below`. `ends`: layers
// under these are hidden.
void look(const struct layers *layers, const char *name, struct found *found, struct layers *below, bool *ends) {
  for (int i = 0; i < layers->count && !*ends; i++) {
    struct stat stat;
    if (fstatat(layers->fds[i], name, &stat, AT_SYMLINK_NOFOLLOW) < 0) {
      if (errno != ENOENT) fail(name, errno);
      continue;
    }
    bool is_dir = S_ISDIR(stat.st_mode);
    if (!is_dir) *ends = true;
    if ((found->present && !is_dir) || (!is_dir && is_whiteout(layers->fds[i], name, &stat))) return;
    if (is_dir) {
      int fd = open_directory(layers->fds[i], name, ends);
      if (fd < 0) continue;
      add_layer(below, fd, layers->count);
    }
    if (!found->present) *found = (struct found){.present = true, .stat = stat, .parent = layers->fds[i]};
  }
}
