// Records on standard output: nine fields that each end with a NUL, and then the content that two of them announce.
#include "changes.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK_BYTES = 1 << 16 };

static char letter_of(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG: return 'f';
    case S_IFDIR: return 'd';
    case S_IFLNK: return 'l';
    case S_IFIFO: return 'p';
    case S_IFSOCK: return 's';
    case S_IFCHR: return 'c';
    default: return 'b';
  }
}

static void write_field(const char *text) { fwrite(text, 1, strlen(text) + 1, stdout); }

static void write_stat(const struct found *found) {
  if (found->present) {
    const struct stat *stat = &found->stat;
    printf("%c %o %u %u %" PRId64 " %" PRId64 ".%09ld", letter_of(stat->st_mode), stat->st_mode & 07777, stat->st_uid, stat->st_gid,
           (int64_t)stat->st_size, (int64_t)stat->st_mtim.tv_sec, stat->st_mtim.tv_nsec);
  }
  putchar(0);
}

static void write_target(const struct found *found, const char *name) {
  static char target[PATH_MAX + 1];
  ssize_t length = found->present && S_ISLNK(found->stat.st_mode) ? readlinkat(found->parent, name, target, PATH_MAX) : -1;
  target[length < 0 ? 0 : length] = 0;
  write_field(target);
}

// -1 where there is nothing to show: no file, too large, or gone since.
static int open_content(const struct found *found, const char *name, int64_t bytes_max, struct stat *stat) {
  if (!found->present || !S_ISREG(found->stat.st_mode) || found->stat.st_size > bytes_max) return -1;
  int fd = open_file(found->parent, name, stat);
  if (fd >= 0 && stat->st_size <= bytes_max) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

// Exactly as much as was announced: what has become shorter meanwhile is filled up with zeros.
static void write_content(int fd, int64_t size) {
  static char block[BLOCK_BYTES];
  for (int64_t left = size; left > 0;) {
    size_t most = left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES;
    ssize_t got = read(fd, block, most);
    if (got < 0) fail("content", errno);
    if (got == 0) memset(block, 0, most);
    size_t length = got ? (size_t)got : most;
    if (fwrite(block, 1, length, stdout) < length) fail("output", errno);
    left -= (int64_t)length;
  }
  close(fd);
}

static void write_length(int fd, const struct stat *stat) {
  if (fd >= 0) printf("%" PRId64, (int64_t)stat->st_size);
  putchar(0);
}

void write_entry(char kind, const char *what, const struct found *now, const struct found *then, const char *path, const char *name) {
  putchar(kind);
  putchar(0);
  write_field(what);
  write_stat(now);
  write_stat(then);
  write_field(path);
  write_target(now, name);
  write_target(then, name);
  struct stat new_stat, old_stat;
  bool wanted = !options.for_patch || kind != 'M' || strpbrk(what, "cy") != NULL;
  int new_fd = wanted ? open_content(now, name, options.new_bytes_max, &new_stat) : -1;
  int old_fd = wanted ? open_content(then, name, options.old_bytes_max, &old_stat) : -1;
  write_length(new_fd, &new_stat);
  write_length(old_fd, &old_stat);
  if (new_fd >= 0) write_content(new_fd, new_stat.st_size);
  if (old_fd >= 0) write_content(old_fd, old_stat.st_size);
}

void write_end(const char *status, const struct totals *totals, bool is_whole, const char *path) {
  write_field("E");
  write_field(status);
  printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %d", totals->added, totals->changed, totals->deleted, totals->bytes,
         totals->skipped, is_whole);
  putchar(0);
  putchar(0);
  write_field(path);
  for (int i = 0; i < 4; i++) putchar(0);
}
