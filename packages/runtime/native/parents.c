// Directories that are missing above a place: made with it, and gone again without it.
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int make_each(const char *path, mode_t mode, struct made *made) {
  char part[PATH_MAX];
  struct stat stat;
  for (const char *end = path; *end;) {
    size_t above = (size_t)(end - path);
    end += strspn(end, "/");
    end += strcspn(end, "/");
    snprintf(part, sizeof part, "%.*s", (int)(end - path), path);
    bool is_made = mkdir(part, end[strspn(end, "/")] ? 0755 : mode) == 0;
    if (!is_made && errno != EEXIST) return -1;
    if (is_made && !made->kept) made->kept = above + 1;
    if (is_made) strcpy(made->path, part);
  }
  if (fstatat(AT_FDCWD, path, &stat, 0) < 0) return -1;
  errno = ENOTDIR;
  return S_ISDIR(stat.st_mode) ? 0 : -1;
}

int make_directories(const char *path, mode_t mode, struct made *made) {
  made->kept = 0;
  if (strlen(path) >= sizeof made->path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  if (make_each(path, mode, made) == 0) return 0;
  int error = errno;
  unmake_directories(made);
  errno = error;
  return -1;
}

// From the lowest on. One that somebody else has put something into meanwhile stays, and with it those above.
void unmake_directories(struct made *made) {
  if (!made->kept) return;
  for (size_t length = strlen(made->path); length > made->kept - 1 && rmdir(made->path) == 0;) {
    while (length && made->path[length - 1] != '/') length--;
    while (length && made->path[length - 1] == '/') length--;
    made->path[length] = 0;
  }
  made->kept = 0;
}
