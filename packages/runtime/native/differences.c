#include "changes.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

// Of the same size, files up to this are compared byte by byte; of larger ones the time of their last change tells.
enum { COMPARED_BYTES_MAX = 1 << 20, BLOCK_BYTES = 1 << 16, XATTR_BYTES_MAX = 1 << 16 };

#define OVERLAY_XATTR "trusted.overlay."

static void name_link(char link[32], int fd) { snprintf(link, 32, "/proc/self/fd/%d", fd); }

// A regular file and nothing else: what it is is known before it is opened, for to open a device or a FIFO does something. -1 where it is none.
int open_file(int parent, const char *name, struct stat *stat) {
  int place = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (place < 0) return -1;
  char link[32];
  name_link(link, place);
  int fd = fstat(place, stat) == 0 && S_ISREG(stat->st_mode) ? open(link, O_RDONLY | O_NOATIME | O_CLOEXEC) : -1;
  close(place);
  return fd;
}

static bool same_bytes(int one, int other) {
  static char a[BLOCK_BYTES], b[BLOCK_BYTES];
  for (off_t at = 0; at < COMPARED_BYTES_MAX;) {
    ssize_t got = pread(one, a, sizeof a, at);
    if (got < 0 || pread(other, b, sizeof b, at) != got || memcmp(a, b, (size_t)got) != 0) return false;
    if (got == 0) return true;
    at += got;
  }
  return true;
}

static bool same_time(const struct stat *a, const struct stat *b) {
  return a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static bool same_content(const struct found *now, const struct found *then, const char *name) {
  if (now->stat.st_size != then->stat.st_size) return false;
  if (now->stat.st_size > COMPARED_BYTES_MAX) return same_time(&now->stat, &then->stat);
  struct stat stat;
  int one = open_file(now->parent, name, &stat), other = open_file(then->parent, name, &stat);
  bool same = one >= 0 && other >= 0 && same_bytes(one, other);
  if (one >= 0) close(one);
  if (other >= 0) close(other);
  return same;
}

static bool same_target(const struct found *now, const struct found *then, const char *name) {
  static char a[PATH_MAX], b[PATH_MAX];
  ssize_t one = readlinkat(now->parent, name, a, sizeof a), other = readlinkat(then->parent, name, b, sizeof b);
  return one >= 0 && one == other && memcmp(a, b, (size_t)one) == 0;
}

// The attributes that somebody gave it. Those of overlayfs say how it is kept.
static size_t own_xattrs(const char *link, char *names) {
  ssize_t length = listxattr(link, names, XATTR_BYTES_MAX);
  size_t kept = 0;
  for (ssize_t at = 0; at < length;) {
    size_t whole = strlen(names + at) + 1;
    if (strcmp(names + at, OVERLAY_XATTR "metacopy") == 0) fail("metacopy", EOPNOTSUPP);
    if (strncmp(names + at, OVERLAY_XATTR, strlen(OVERLAY_XATTR)) != 0) {
      memmove(names + kept, names + at, whole);
      kept += whole;
    }
    at += (ssize_t)whole;
  }
  return kept;
}

static bool same_values(const char *one, const char *other, const char *names, size_t length) {
  static char a[XATTR_BYTES_MAX], b[XATTR_BYTES_MAX];
  for (size_t at = 0; at < length; at += strlen(names + at) + 1) {
    ssize_t got = getxattr(one, names + at, a, sizeof a);
    if (got < 0 || getxattr(other, names + at, b, sizeof b) != got || memcmp(a, b, (size_t)got) != 0) return false;
  }
  return true;
}

static bool same_xattrs(const struct found *now, const struct found *then, const char *name) {
  static char names[XATTR_BYTES_MAX], others[XATTR_BYTES_MAX];
  int one = openat(now->parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), other = openat(then->parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  bool same = true;
  if (one >= 0 && other >= 0) {
    char a[32], b[32];
    name_link(a, one);
    name_link(b, other);
    size_t length = own_xattrs(a, names);
    same = own_xattrs(b, others) == length && same_values(a, b, names, length);
  }
  if (one >= 0) close(one);
  if (other >= 0) close(other);
  return same;
}

void differences(const struct found *now, const struct found *then, const char *name, char what[8]) {
  const struct stat *a = &now->stat, *b = &then->stat;
  char *at = what;
  *at = 0;
  if (same_inode(now, then)) return;
  if ((a->st_mode & S_IFMT) != (b->st_mode & S_IFMT)) {
    strcpy(what, "y");
    return;
  }
  bool is_file = S_ISREG(a->st_mode), has_content = is_file && !same_content(now, then, name);
  if (has_content) *at++ = 'c';
  if (S_ISLNK(a->st_mode) && !same_target(now, then, name)) *at++ = 'l';
  if ((S_ISCHR(a->st_mode) || S_ISBLK(a->st_mode)) && a->st_rdev != b->st_rdev) *at++ = 'd';
  if (!S_ISLNK(a->st_mode) && (a->st_mode & 07777) != (b->st_mode & 07777)) *at++ = 'm';
  if (a->st_uid != b->st_uid || a->st_gid != b->st_gid) *at++ = 'o';
  if ((is_file || S_ISDIR(a->st_mode)) && !same_xattrs(now, then, name)) *at++ = 'x';
  if (is_file && !has_content && !same_time(a, b)) *at++ = 't';
  *at = 0;
}
