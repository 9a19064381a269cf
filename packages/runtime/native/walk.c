#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

struct walker {
  walk_visitor visitor;
  void *context;
  char path[PATH_MAX];
};

// Trees the kernel makes up: endless, or of no meaning elsewhere.
static bool is_kernel_tree(int directory) {
  static const uint32_t magics[] = {0x9fa0 /* proc */, 0x62656572 /* sysfs */, 0x27e0eb /* cgroup */, 0x63677270 /* cgroup2 */, 0x1cd1 /* devpts */};
  struct statfs filesystem;
  if (fstatfs(directory, &filesystem) < 0) return true;
  for (size_t i = 0; i < sizeof magics / sizeof *magics; i++) {
    if ((uint32_t)filesystem.f_type == magics[i]) return true;
  }
  return false;
}

static bool step_into(struct walker *walker, int directory, size_t length, int depth);

// False to stop the whole walk.
static bool visit_entry(struct walker *walker, int parent, const char *name, size_t length, int depth) {
  size_t name_length = strlen(name), whole = length + (length > 0) + name_length;
  if (whole >= sizeof walker->path || root_hides(parent, name)) return true;
  if (length) walker->path[length] = '/';
  memcpy(walker->path + whole - name_length, name, name_length + 1);
  struct stat stat;
  if (fstatat(parent, name, &stat, AT_SYMLINK_NOFOLLOW) < 0) return true;
  struct visit visit = {.path = walker->path, .name = name, .parent = parent, .depth = depth, .stat = &stat};
  enum walk_step step = walker->visitor(walker->context, &visit);
  if (step == WALK_STOP) return false;
  if (step == WALK_PASS || !S_ISDIR(stat.st_mode) || depth >= WALK_DEPTH_MAX) return true;
  int directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  return directory < 0 || step_into(walker, directory, whole, depth + 1);
}

static bool step_into(struct walker *walker, int directory, size_t length, int depth) {
  DIR *entries = is_kernel_tree(directory) ? NULL : fdopendir(directory);
  if (!entries) {
    close(directory);
    return true;
  }
  bool goes_on = true;
  for (struct dirent *entry; goes_on && (entry = readdir(entries));) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    goes_on = visit_entry(walker, dirfd(entries), entry->d_name, length, depth);
    walker->path[length] = 0;
  }
  closedir(entries);
  return goes_on;
}

int walk(const char *start, walk_visitor visitor, void *context) {
  static struct walker walker;
  walker.visitor = visitor;
  walker.context = context;
  struct stat stat;
  int directory = open(start, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    step_into(&walker, directory, 0, 1);
    return 0;
  }
  if (errno != ENOTDIR) return -errno;
  if (fstatat(AT_FDCWD, start, &stat, 0) < 0) return -errno;
  struct visit visit = {.path = ".", .name = start, .parent = AT_FDCWD, .depth = 0, .stat = &stat};
  visitor(context, &visit);
  return 0;
}
