// TREE_READ and TREE_WRITE: a directory as a stream of entries, for tar on the host's side.
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

struct attributes {
  uint64_t mode, uid, gid, mtime_ns;
  bool has_mode, has_owner, has_mtime;
};

// Attributes of directories are set last: what is written into them would change their times, and may need their mode.
struct later {
  struct later *next;
  struct attributes attributes;
  char path[];
};

struct writing {
  struct session *session;
  int root;
  struct later *later;
  uint64_t entries;
};

// Opens what holds the last name of `path`, one component after the other and none of them a symlink, so nothing leaves the root.
static int open_below(struct writing *writing, const char *path, const char **name) {
  int at = openat(writing->root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  for (;;) {
    path += strspn(path, "/");
    size_t length = strcspn(path, "/");
    const char *rest = path + length + strspn(path + length, "/");
    char component[NAME_MAX + 1];
    if (at < 0) return -1;
    errno = length > NAME_MAX ? ENAMETOOLONG : EINVAL;
    bool upwards = length == 2 && path[0] == '.' && path[1] == '.';
    if (length == 0 || length > NAME_MAX || upwards) break;
    memcpy(component, path, length);
    component[length] = 0;
    if (root_hides(at, component)) {
      errno = EPERM;
      break;
    }
    if (!*rest) {
      *name = path;
      return at;
    }
    if (mkdirat(at, component, 0755) < 0 && errno != EEXIST) break;
    int next = openat(at, component, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int error = errno;
    close(at);
    errno = error;
    at = next;
    path = rest;
  }
  int error = errno;
  close(at);
  errno = error;
  return -1;
}

struct timespec modified_at(uint64_t mtime_ns) {
  int64_t seconds = (int64_t)mtime_ns / 1000000000, rest = (int64_t)mtime_ns % 1000000000;
  return (struct timespec){.tv_sec = seconds - (rest < 0), .tv_nsec = rest + (rest < 0 ? 1000000000 : 0)};
}

static void set_times(int fd, uint64_t mtime_ns) { futimens(fd, (struct timespec[2]){{.tv_nsec = UTIME_OMIT}, modified_at(mtime_ns)}); }

static int apply(int fd, const struct attributes *attributes) {
  // Another user than root cannot give files away, and need not be able to unpack.
  if (attributes->has_owner && fchown(fd, (uid_t)attributes->uid, (gid_t)attributes->gid) < 0 && errno != EPERM) return -1;
  if (attributes->has_mode && fchmod(fd, (mode_t)attributes->mode & 07777) < 0) return -1;
  if (attributes->has_mtime) set_times(fd, attributes->mtime_ns);
  return 0;
}

static struct attributes attributes_of(const struct message *entry) {
  return (struct attributes){
      .mode = message_number(entry, TAG_MODE, 0), .uid = message_number(entry, TAG_UID, UINT32_MAX),
      .gid = message_number(entry, TAG_GID, UINT32_MAX), .mtime_ns = message_number(entry, TAG_MTIME_NS, 0),
      .has_mode = message_has(entry, TAG_MODE), .has_owner = message_has(entry, TAG_UID) || message_has(entry, TAG_GID),
      .has_mtime = message_has(entry, TAG_MTIME_NS),
  };
}

static void write_directory(struct writing *writing, const struct message *entry, int parent, const char *name) {
  const char *path = message_text(entry, TAG_PATH, "");
  bool made = mkdirat(parent, name, 0755) == 0;
  struct stat stat;
  if (!made && (errno != EEXIST || fstatat(parent, name, &stat, AT_SYMLINK_NOFOLLOW) < 0)) fail_errno(writing->session, errno, path);
  if (!made && !S_ISDIR(stat.st_mode)) fail_errno(writing->session, ENOTDIR, path);
  struct later *later = malloc(sizeof *later + strlen(path) + 1);
  if (!later) fail_errno(writing->session, ENOMEM, path);
  later->attributes = attributes_of(entry);
  strcpy(later->path, path);
  later->next = writing->later;
  writing->later = later;
}

static void write_link(struct writing *writing, const struct message *entry, int parent, const char *name, char type) {
  const char *path = message_text(entry, TAG_PATH, ""), *link = message_text(entry, TAG_LINK, ""), *from;
  int made;
  if (type == 'l') {
    made = symlinkat(link, parent, name);
    bool owner = message_has(entry, TAG_UID) || message_has(entry, TAG_GID);
    uid_t uid = (uid_t)message_number(entry, TAG_UID, UINT32_MAX);
    gid_t gid = (gid_t)message_number(entry, TAG_GID, UINT32_MAX);
    if (made == 0 && owner && fchownat(parent, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0 && errno != EPERM) made = -1;
  } else {
    int directory = open_below(writing, link, &from);
    made = directory < 0 ? -1 : linkat(directory, from, parent, name, 0);
    if (directory >= 0) close(directory);
  }
  if (made < 0) fail_errno(writing->session, errno, path);
}

// The content up to the next frame that is not DATA, which is left in `frame`.
static void write_file(struct writing *writing, const struct message *entry, int parent, const char *name, struct frame *frame) {
  struct session *session = writing->session;
  struct attributes attributes = attributes_of(entry);
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s", message_text(entry, TAG_PATH, ""));
  int fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) fail_errno(session, errno, path);
  for (next_frame(session, frame); frame->type == TYPE_DATA; next_frame(session, frame)) {
    if (write_all(fd, frame->payload, frame->length) < 0) fail_errno(session, errno, path);
  }
  if (!attributes.has_mode) fchmod(fd, 0644);
  if (apply(fd, &attributes) < 0 || close(fd) < 0) fail_errno(session, errno, path);
}

static void write_entry(struct writing *writing, const struct message *entry, struct frame *frame) {
  struct session *session = writing->session;
  // The letter is kept apart: the entry's texts are gone as soon as the next frame is read.
  const char *path = message_text(entry, TAG_PATH, ""), type = message_text(entry, TAG_TYPE, "")[0], *name;
  if (strlen(path) >= PATH_MAX) fail_errno(session, ENAMETOOLONG, "entry");
  int parent = open_below(writing, path, &name);
  if (parent < 0) fail_errno(session, errno, path);
  char last[NAME_MAX + 1];
  snprintf(last, sizeof last, "%.*s", (int)strcspn(name, "/"), name);
  writing->entries++;
  if (type != 'd' && unlinkat(parent, last, 0) < 0 && errno != ENOENT) fail_errno(session, errno, path);
  switch (type) {
    case 'd': write_directory(writing, entry, parent, last); break;
    case 'l':
    case 'h': write_link(writing, entry, parent, last, type); break;
    case 'p':
      if (mkfifoat(parent, last, (mode_t)message_number(entry, TAG_MODE, 0644) & 07777) < 0) fail_errno(session, errno, path);
      break;
    case 'f': write_file(writing, entry, parent, last, frame); break;
    default: fail_errno(session, EPERM, path);
  }
  close(parent);
  if (type != 'f') next_frame(session, frame);
}

static void apply_later(struct writing *writing) {
  for (struct later *later = writing->later; later; later = later->next) {
    const char *name;
    int parent = open_below(writing, later->path, &name);
    int fd = parent < 0 ? -1 : openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || apply(fd, &later->attributes) < 0) fail_errno(writing->session, errno, later->path);
    close(fd);
    close(parent);
  }
}

void serve_tree_write(struct session *session) {
  const uint64_t allowed = TAG_BIT(TAG_PATH) | TAG_BIT(TAG_TYPE) | TAG_BIT(TAG_MODE) | TAG_BIT(TAG_UID) | TAG_BIT(TAG_GID) |
                           TAG_BIT(TAG_MTIME_NS) | TAG_BIT(TAG_LINK) | TAG_BIT(TAG_SIZE);
  const char *path = request_path(session);
  struct writing writing = {.session = session};
  static struct message entry;
  assume_user(session);
  umask(0);
  bool parents = message_number(&session->request, TAG_FLAGS, 0) & FLAG_PARENTS;
  if (parents && make_directories(path, 0755) < 0) fail_errno(session, errno, path);
  writing.root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (writing.root < 0) fail_errno(session, errno, path);
  struct frame frame;
  for (next_frame(session, &frame); frame.type == TYPE_ENTRY;) {
    decode_or_fail(session, &entry, &frame, allowed, TAG_BIT(TAG_PATH) | TAG_BIT(TAG_TYPE));
    write_entry(&writing, &entry, &frame);
  }
  if (frame.type != TYPE_END) fail(session, EPROTO, "bad_request", "ENTRY or END is expected");
  apply_later(&writing);
  struct sink *sink = open_frame(session, TYPE_OK);
  sink_number(sink, TAG_SIZE, writing.entries);
  sink_commit(sink);
}
