// Files that a sandbox finds at its first start: /etc/hosts and the like.
#include "attach.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel.h"

// Resolves as the sandbox itself would: its symlinks lead nowhere but into its own tree, which the host therefore may write to.
static int open_inside(int tree, const char *path, int flags, mode_t mode) {
  struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC), .mode = mode, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  return (int)syscall(SYS_openat2, tree, path, &how, sizeof how);
}

static int open_parent(int tree, char *path) {
  char *slash = strrchr(path, '/');
  if (!slash || slash == path) return open_inside(tree, "/", O_PATH | O_DIRECTORY, 0);
  *slash = 0;
  int parent = open_inside(tree, path, O_PATH | O_DIRECTORY, 0);
  if (parent < 0 && errno == ENOENT) {
    int above = open_parent(tree, path);
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    if (above >= 0 && (mkdirat(above, name, 0755) == 0 || errno == EEXIST)) parent = open_inside(above, name, O_PATH | O_DIRECTORY, 0);
    if (above >= 0) close(above);
  }
  *slash = '/';
  return parent;
}

static int seed_open(int parent, const char *name) {
  int flags = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  int fd = openat(parent, name, flags, 0644);
  struct stat stat;
  if (fd >= 0 && fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode)) return fd;
  if (fd >= 0) close(fd);
  if (unlinkat(parent, name, 0) < 0) return -1;
  return openat(parent, name, flags | O_EXCL, 0644);
}

// Splits {path}NUL{content}; the path is without its leading slashes.
static const char *take_seed(struct task *task, const struct field *seed, char path[PATH_MAX], size_t *length) {
  size_t whole = strnlen(seed->bytes, seed->length), slashes = strspn(seed->bytes, "/");
  if (whole == seed->length || whole == slashes || whole >= PATH_MAX) task_fail(task, "seed", EINVAL);
  strcpy(path, seed->bytes + slashes);
  *length = seed->length - whole - 1;
  return seed->bytes + whole + 1;
}

static void put_content(struct task *task, int fd, const char *path, const char *content, size_t length) {
  if (fd < 0 || write_all(fd, content, length) < 0) task_fail(task, path, errno);
  close(fd);
}

static void seed_through(struct task *task, int tree, const struct field *seed) {
  char path[PATH_MAX];
  size_t length;
  const char *content = take_seed(task, seed, path, &length);
  int parent = open_parent(tree, path);
  if (parent < 0) task_fail(task, path, errno);
  const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
  put_content(task, seed_open(parent, name), path, content, length);
  close(parent);
}

void seed_tree(struct task *task, int tree) {
  for (uint32_t i = 0; i < task->request.count; i++) {
    if (task->request.fields[i].tag == TAG_SEED) seed_through(task, tree, &task->request.fields[i]);
  }
}

static bool is_empty(const char *path) {
  DIR *directory = opendir(path);
  bool empty = directory != NULL;
  for (struct dirent *entry; empty && (entry = readdir(directory));) {
    empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
  }
  if (directory) closedir(directory);
  return empty;
}

enum found { FOUND_NOTHING, FOUND_DIRECTORY, FOUND_OTHER };

// What the topmost layer that has `path` has there. No symlink is followed: a layer is as untrusted as what made it.
static enum found find_in_layers(const struct message *request, const char *path, struct stat *stat) {
  struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
  for (uint32_t i = 0; i < request->count; i++) {
    if (request->fields[i].tag != TAG_LOWER) continue;
    int layer = open(request->fields[i].bytes, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = layer < 0 ? -1 : (int)syscall(SYS_openat2, layer, path, &how, sizeof how);
    int error = errno;
    if (layer >= 0) close(layer);
    if (layer < 0 || (fd < 0 && error != ENOENT && error != ENOTDIR)) return FOUND_OTHER;
    if (fd < 0) continue;
    bool known = fstat(fd, stat) == 0;
    close(fd);
    return known && S_ISDIR(stat->st_mode) ? FOUND_DIRECTORY : FOUND_OTHER;
  }
  return FOUND_NOTHING;
}

// Makes the directories above `path` in the upper as a copy-up would: with the rights they have in the layers.
static bool make_parents(struct task *task, int upper, char *path) {
  for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
    struct stat stat = {.st_mode = 0755};
    *slash = 0;
    enum found found = find_in_layers(&task->request, path, &stat);
    bool usable = found == FOUND_NOTHING || found == FOUND_DIRECTORY;
    int made = usable ? mkdirat(upper, path, 0700) : -1;
    bool ready = made < 0 ? usable && errno == EEXIST
                          : fchownat(upper, path, stat.st_uid, stat.st_gid, 0) == 0 && fchmodat(upper, path, stat.st_mode & 07777, 0) == 0;
    *slash = '/';
    if (!ready) return false;
  }
  return true;
}

static bool seed_directly(struct task *task, int upper, const struct field *seed) {
  char path[PATH_MAX];
  size_t length;
  struct stat stat;
  const char *content = take_seed(task, seed, path, &length);
  // What is not plain, like `a/../b` or a link in a layer, is left to the kernel's own way through the tree.
  if (strstr(path, "//") || strstr(path, "..") || strstr(path, "./")) return false;
  if (!make_parents(task, upper, path)) return false;
  // Anything but a directory is simply hidden by the new file.
  if (find_in_layers(&task->request, path, &stat) == FOUND_DIRECTORY) return false;
  int fd = openat(upper, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
  put_content(task, fd, path, content, length);
  return true;
}

bool seed_upper(struct task *task) {
  const char *path = message_text(&task->request, TAG_UPPER, "");
  if (!is_empty(path)) return false;
  int upper = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  bool seeded = upper >= 0;
  for (uint32_t i = 0; seeded && i < task->request.count; i++) {
    if (task->request.fields[i].tag == TAG_SEED) seeded = seed_directly(task, upper, &task->request.fields[i]);
  }
  if (upper >= 0) close(upper);
  return seeded;
}

