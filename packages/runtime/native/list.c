// LIST and REMOVE: whole directories.
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAMES_MAX = 1000000, REMOVE_PASSES_MAX = 4096 };

struct names {
  char **list;
  size_t count, capacity;
};

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static int collect(struct names *names, const char *name) {
  if (names->count == NAMES_MAX) return -E2BIG;
  if (names->count == names->capacity) {
    names->capacity = names->capacity ? names->capacity * 2 : 256;
    char **grown = realloc(names->list, names->capacity * sizeof *grown);
    if (!grown) return -ENOMEM;
    names->list = grown;
  }
  names->list[names->count] = strdup(name);
  return names->list[names->count++] ? 0 : -ENOMEM;
}

void serve_list(struct session *session) {
  const char *path = request_path(session);
  assume_user(session);
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *directory = fd < 0 ? NULL : fdopendir(fd);
  if (!directory) fail_errno(session, errno, path);
  struct names names = {0};
  for (struct dirent *entry; (entry = readdir(directory));) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (root_hides(fd, entry->d_name)) continue;
    int error = collect(&names, entry->d_name);
    if (error) fail_errno(session, -error, path);
  }
  if (names.count) qsort(names.list, names.count, sizeof *names.list, by_bytes);
  uint64_t offset = message_number(&session->request, TAG_OFFSET, 0), limit = message_number(&session->request, TAG_LIMIT, NAMES_MAX);
  for (uint64_t i = offset; i < names.count && i - offset < limit; i++) {
    struct stat stat;
    if (fstatat(fd, names.list[i], &stat, AT_SYMLINK_NOFOLLOW) == 0) send_entry(session, names.list[i], &stat, fd, names.list[i]);
  }
  struct sink *sink = open_frame(session, TYPE_OK);
  sink_number(sink, TAG_SIZE, names.count);
  sink_commit(sink);
}

struct removal {
  // NULL: what nobody waits for is removed whole.
  struct session *session;
  int top;
  uint64_t removed;
  unsigned moved;
};

static int empty_directory(struct removal *removal, int directory, int depth);

// Too deep to hold a descriptor for each level: the rest moves up below the top, where a later pass finds it.
static int move_up(struct removal *removal, int parent, const char *name) {
  char moved[48];
  snprintf(moved, sizeof moved, ".banyan-remove-%d-%u", getpid(), removal->moved++);
  return renameat(parent, name, removal->top, moved);
}

static int remove_entry(struct removal *removal, int parent, const char *name, int depth) {
  if (unlinkat(parent, name, 0) == 0) {
    if (++removal->removed % 1024 == 0 && removal->session) check_host(removal->session);
    return 0;
  }
  if (errno == ENOENT) return 0;
  if (errno != EISDIR && errno != EPERM) return -1;
  int error = errno;
  int directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (directory < 0) {
    if (errno == ENOTDIR || errno == ELOOP) errno = error;
    return -1;
  }
  if (depth >= WALK_DEPTH_MAX) {
    close(directory);
    return move_up(removal, parent, name);
  }
  if (empty_directory(removal, directory, depth + 1) < 0) return -1;
  if (unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT) return -1;
  removal->removed++;
  return 0;
}

static int empty_directory(struct removal *removal, int directory, int depth) {
  DIR *entries = fdopendir(directory);
  if (!entries) {
    close(directory);
    return -1;
  }
  int result = 0;
  for (struct dirent *entry; result == 0 && (entry = readdir(entries));) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    result = remove_entry(removal, dirfd(entries), entry->d_name, depth);
  }
  int error = errno;
  closedir(entries);
  errno = error;
  return result;
}

static int remove_tree(struct removal *removal, int parent, const char *name) {
  removal->top = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (removal->top < 0) return -1;
  int error = ENOTEMPTY;
  for (int pass = 0; pass < REMOVE_PASSES_MAX && error == ENOTEMPTY; pass++) {
    int again = openat(removal->top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    error = again < 0 || empty_directory(removal, again, 1) < 0 ? errno : 0;
    if (error && error != ENOTEMPTY) break;
    error = unlinkat(parent, name, AT_REMOVEDIR) == 0 ? 0 : errno == EEXIST ? ENOTEMPTY : errno;
  }
  close(removal->top);
  errno = error;
  removal->removed += !error;
  return error ? -1 : 0;
}

int remove_whole(int parent, const char *name) { return remove_tree(&(struct removal){0}, parent, name); }

void serve_remove(struct session *session) {
  const char *given = request_place(session);
  char path[PATH_MAX];
  if (strlen(given) >= sizeof path) fail_errno(session, ENAMETOOLONG, "path");
  strcpy(path, given);
  for (size_t length = strlen(path); length && path[length - 1] == '/';) path[--length] = 0;
  const char *name = strrchr(path, '/');
  if (!name || strcmp(name, "/.") == 0 || strcmp(name, "/..") == 0) fail_errno(session, EINVAL, "the root cannot be removed");
  assume_user(session);
  struct removal removal = {.session = session};
  struct stat stat;
  if (fstatat(AT_FDCWD, path, &stat, AT_SYMLINK_NOFOLLOW) < 0) fail_errno(session, errno, path);
  bool recursive = message_number(&session->request, TAG_FLAGS, 0) & FLAG_RECURSIVE;
  if (recursive && S_ISDIR(stat.st_mode)) {
    if (remove_tree(&removal, AT_FDCWD, path) < 0) fail_errno(session, errno, path);
  } else {
    if (unlinkat(AT_FDCWD, path, S_ISDIR(stat.st_mode) ? AT_REMOVEDIR : 0) < 0) fail_errno(session, errno, path);
    removal.removed = 1;
  }
  struct sink *sink = open_frame(session, TYPE_OK);
  sink_number(sink, TAG_SIZE, removal.removed);
  sink_commit(sink);
}
