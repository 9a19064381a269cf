// TREE_READ: a directory as a stream of entries, for tar on the host's side.
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HARD_LINKS_MAX = 65536, SEEN_SLOTS = 2 * HARD_LINKS_MAX };

#define GOLDEN_RATIO UINT64_C(0x9e3779b97f4a7c15)

struct seen {
  dev_t device;
  ino_t inode;
  char *path;
};

struct reading {
  struct session *session;
  struct seen *seen;
  size_t count;
};

// The path under which this file was sent before, or NULL. Past the bound a hard link is sent as a file of its own.
static const char *seen_before(struct reading *reading, const struct visit *visit) {
  const struct stat *stat = visit->stat;
  if (!S_ISREG(stat->st_mode) || stat->st_nlink < 2) return NULL;
  if (!reading->seen) reading->seen = calloc(SEEN_SLOTS, sizeof *reading->seen);
  if (!reading->seen) return NULL;
  // At most half of the slots are taken, so the search ends at a free one.
  size_t at = (size_t)(stat->st_ino * GOLDEN_RATIO >> 32) % SEEN_SLOTS;
  for (; reading->seen[at].path; at = (at + 1) % SEEN_SLOTS) {
    if (reading->seen[at].inode == stat->st_ino && reading->seen[at].device == stat->st_dev) return reading->seen[at].path;
  }
  if (reading->count == HARD_LINKS_MAX) return NULL;
  reading->seen[at] = (struct seen){stat->st_dev, stat->st_ino, strdup(visit->path)};
  reading->count += reading->seen[at].path != NULL;
  return NULL;
}

// Exactly `size` bytes, as the ENTRY promised: a file that shrinks meanwhile is filled up with zeros, one that grows is cut.
static void send_content(struct reading *reading, int fd, uint64_t size, const char *path) {
  struct session *session = reading->session;
  for (uint64_t left = size; left > 0;) {
    flush_when_full(session);
    char *room = sink_reserve(&session->sink);
    size_t most = left < DATA_MAX ? (size_t)left : DATA_MAX;
    ssize_t got = read(fd, room, most);
    if (got < 0) fail_errno(session, errno, path);
    if (got == 0) memset(room, 0, most);
    sink_commit_reserved(&session->sink, TYPE_DATA, got ? (size_t)got : most);
    left -= got ? (size_t)got : most;
  }
}

static enum walk_step read_visited(void *context, const struct visit *visit) {
  struct reading *reading = context;
  struct session *session = reading->session;
  struct stat stat = *visit->stat;
  char type = type_letter(stat.st_mode);
  if (type == 's' || type == 'c' || type == 'b') return WALK_ON;
  const char *first = seen_before(reading, visit);
  if (first) {
    struct sink *sink = open_frame(session, TYPE_ENTRY);
    sink_text(sink, TAG_PATH, visit->path);
    sink_text(sink, TAG_TYPE, "h");
    sink_text(sink, TAG_LINK, first);
    sink_commit(sink);
    return WALK_ON;
  }
  if (type != 'f') {
    send_entry(session, visit->path, &stat, visit->parent, visit->name);
    return WALK_ON;
  }
  int fd = openat(visit->parent, visit->name, O_RDONLY | O_NONBLOCK | O_CLOEXEC | (visit->depth ? O_NOFOLLOW : 0));
  if (fd < 0 || fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode)) {
    if (fd < 0 && errno != ENOENT && errno != ELOOP) fail_errno(session, errno, visit->path);
    if (fd >= 0) close(fd);
    return WALK_ON;
  }
  send_entry(session, visit->path, &stat, visit->parent, visit->name);
  send_content(reading, fd, (uint64_t)stat.st_size, visit->path);
  close(fd);
  return WALK_ON;
}

void serve_tree_read(struct session *session) {
  const char *path = request_path(session);
  struct reading reading = {.session = session};
  assume_user(session);
  int error = walk(path, read_visited, &reading);
  if (error) fail_errno(session, -error, path);
  sink_commit(open_frame(session, TYPE_OK));
}
