// TREE_WRITE: a directory from a stream of entries. With WHOLE nothing of it is seen before all of it is there.
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
  // Made above it; given up with the tree.
  struct made made;
  // NULL: each entry goes to its place as it comes.
  struct stage *stage;
  struct later *later;
  uint64_t entries, staged;
  struct stays stays;
  // What becomes an entry in its place.
  int half_parent;
  char half[32];
};

static struct writing *under_way;

static void give_up(void) {
  if (*under_way->half) unlinkat(under_way->half_parent, under_way->half, 0);
  if (under_way->stage) stage_end(under_way->stage);
  unmake_directories(&under_way->made);
}

// The next part of a path, which is moved on behind it; false with errno where it leads nowhere below.
static bool next_part(const char **path, char part[NAME_MAX + 1]) {
  *path += strspn(*path, "/");
  size_t length = strcspn(*path, "/");
  errno = length > NAME_MAX ? ENAMETOOLONG : EINVAL;
  if (length == 0 || length > NAME_MAX || (length == 2 && memcmp(*path, "..", 2) == 0)) return false;
  memcpy(part, *path, length);
  part[length] = 0;
  *path += length + strspn(*path + length, "/");
  return true;
}

// Opens what holds the last name of `path`, one part after the other and none of them a symlink, so nothing leaves the root.
static int open_parent(int root, const char *path, char name[NAME_MAX + 1], bool makes) {
  int at = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  while (at >= 0) {
    bool found = next_part(&path, name) && !root_hides(at, name);
    if (found && !*path) return at;
    int next = -1;
    if (found && (!makes || mkdirat(at, name, 0755) == 0 || errno == EEXIST)) next = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int error = errno;
    close(at);
    errno = error;
    at = next;
  }
  return -1;
}

static int open_below(int root, const char *path, char name[NAME_MAX + 1]) { return open_parent(root, path, name, true); }

// What would keep an entry from its place is told when the entry comes, not when all is there. True: no rename from the stage leads there.
static bool is_apart(struct writing *writing, const char *path, char type) {
  struct session *session = writing->session;
  const char *rest = path;
  char name[NAME_MAX + 1];
  bool apart = !writing->stage;
  int at = openat(writing->root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (at < 0) fail_errno(session, errno, path);
  do {
    struct stat stat;
    if (!next_part(&rest, name)) fail_errno(session, errno, path);
    if (root_hides(at, name)) fail_errno(session, EPERM, path);
    int next = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (next < 0 && errno != ENOENT) fail_errno(session, errno, path);
    if (next >= 0 && fstatat(next, "", &stat, AT_EMPTY_PATH) < 0) fail_errno(session, errno, path);
    bool is_directory = next >= 0 && S_ISDIR(stat.st_mode);
    if (!is_directory && faccessat(at, ".", W_OK | X_OK, 0) < 0) fail_errno(session, errno, path);
    if (next >= 0 && !is_directory && (*rest || type == 'd')) fail_errno(session, ENOTDIR, path);
    if (is_directory && !*rest && type != 'd') fail_errno(session, EISDIR, path);
    if (next >= 0 && !apart) apart = !stage_reaches(writing->root, next);
    close(at);
    at = next;
  } while (at >= 0 && *rest);
  if (at >= 0) close(at);
  return apart;
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

static int make_symlink(const struct message *entry, int parent, const char *name) {
  if (symlinkat(message_text(entry, TAG_LINK, ""), parent, name) < 0) return -1;
  bool owner = message_has(entry, TAG_UID) || message_has(entry, TAG_GID);
  uid_t uid = (uid_t)message_number(entry, TAG_UID, UINT32_MAX);
  gid_t gid = (gid_t)message_number(entry, TAG_GID, UINT32_MAX);
  if (owner && fchownat(parent, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0 && errno != EPERM) return -1;
  return 0;
}

// To a file that came before, or that was there before.
static int make_hard_link(struct writing *writing, const struct message *entry, int parent, const char *name) {
  const char *link = message_text(entry, TAG_LINK, "");
  const int roots[] = {writing->stage ? writing->stage->fd : writing->root, writing->root};
  char from[NAME_MAX + 1];
  int made = -1;
  for (int i = 0; i < 2 && made < 0; i++) {
    int directory = open_parent(roots[i], link, from, false);
    made = directory < 0 ? -1 : linkat(directory, from, parent, name, 0);
    int error = errno;
    if (directory >= 0) close(directory);
    errno = error;
    if (made < 0 && error != ENOENT && error != EXDEV) break;
  }
  return made;
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

static void make_other(struct writing *writing, const struct message *entry, int parent, const char *name, char type) {
  int made = -1;
  errno = EPERM;
  if (type == 'l') made = make_symlink(entry, parent, name);
  if (type == 'h') made = make_hard_link(writing, entry, parent, name);
  if (type == 'p') made = mkfifoat(parent, name, (mode_t)message_number(entry, TAG_MODE, 0644) & 07777);
  if (made < 0) fail_errno(writing->session, errno, message_text(entry, TAG_PATH, ""));
}

// Whole under another name first, and only then in the place of what is there.
static void write_apart(struct writing *writing, const struct message *entry, int parent, const char *name, char type, struct frame *frame) {
  struct stays *stays = &writing->stays;
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s", message_text(entry, TAG_PATH, ""));
  writing->half_parent = parent;
  name_at_random(writing->half, ".banyan-");
  if (type == 'f') write_file(writing, entry, parent, writing->half, frame);
  else make_other(writing, entry, parent, writing->half, type);
  if (renameat(parent, writing->half, parent, name) < 0) fail_errno(writing->session, errno, path);
  // Of two names of one file the kernel renames none.
  unlinkat(parent, writing->half, 0);
  writing->half[0] = 0;
  stays->files++;
  strcpy(stays->last, path);
}

static void write_entry(struct writing *writing, const struct message *entry, struct frame *frame) {
  struct session *session = writing->session;
  // The letter is kept apart: the entry's texts are gone as soon as the next frame is read.
  const char *path = message_text(entry, TAG_PATH, ""), type = message_text(entry, TAG_TYPE, "")[0];
  char name[NAME_MAX + 1];
  if (strlen(path) >= PATH_MAX) fail_errno(session, ENAMETOOLONG, "entry");
  bool apart = is_apart(writing, path, type);
  int parent = open_below(apart ? writing->root : writing->stage->fd, path, name);
  if (parent < 0) fail_errno(session, errno, path);
  writing->entries++;
  if (type == 'd') {
    write_directory(writing, entry, parent, name);
  } else if (apart) {
    write_apart(writing, entry, parent, name, type, frame);
  } else {
    bool is_new = unlinkat(parent, name, 0) < 0;
    if (is_new && errno != ENOENT) fail_errno(session, errno, path);
    if (type == 'f') write_file(writing, entry, parent, name, frame);
    else make_other(writing, entry, parent, name, type);
    writing->staged += is_new;
  }
  close(parent);
  if (type != 'f') next_frame(session, frame);
}

static void settle_all(struct writing *writing) {
  struct stage *stage = writing->stage;
  if (!stage) return;
  if (stage_settle(stage, writing->root) < 0) {
    int error = errno;
    writing->stays.files += writing->staged - stage_left(stage);
    fail_errno(writing->session, error, "to its place");
  }
  writing->stays.files += writing->staged;
  stage_end(stage);
}

static void apply_later(struct writing *writing) {
  char name[NAME_MAX + 1];
  for (struct later *later = writing->later; later; later = later->next) {
    int parent = open_below(writing->root, later->path, name);
    int fd = parent < 0 ? -1 : openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || apply(fd, &later->attributes) < 0) fail_errno(writing->session, errno, later->path);
    close(fd);
    close(parent);
  }
}

static void open_writing(struct session *session, struct writing *writing) {
  static struct stage stage;
  const char *path = request_path(session);
  uint64_t flags = message_number(&session->request, TAG_FLAGS, 0);
  umask(0);
  if ((flags & FLAG_WHOLE) && stage_open(&stage) < 0) fail_errno(session, errno, path);
  assume_user(session);
  session->stays = &writing->stays;
  under_way = writing;
  abandon = give_up;
  if ((flags & FLAG_PARENTS) && make_directories(path, 0755, &writing->made) < 0) fail_errno(session, errno, path);
  writing->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (writing->root < 0) fail_errno(session, errno, path);
  // What lies on another mount than the stage is unpacked where it belongs.
  if (!(flags & FLAG_WHOLE) || !stage_reaches(stage.holder, writing->root)) return;
  if (stage_begin(&stage) < 0) fail_errno(session, errno, path);
  writing->stage = &stage;
}

void serve_tree_write(struct session *session) {
  const uint64_t allowed = TAG_BIT(TAG_PATH) | TAG_BIT(TAG_TYPE) | TAG_BIT(TAG_MODE) | TAG_BIT(TAG_UID) | TAG_BIT(TAG_GID) |
                           TAG_BIT(TAG_MTIME_NS) | TAG_BIT(TAG_LINK) | TAG_BIT(TAG_SIZE);
  static struct writing writing;
  static struct message entry, end;
  writing.session = session;
  open_writing(session, &writing);
  struct frame frame;
  for (next_frame(session, &frame); frame.type == TYPE_ENTRY;) {
    decode_or_fail(session, &entry, &frame, allowed, TAG_BIT(TAG_PATH) | TAG_BIT(TAG_TYPE));
    write_entry(&writing, &entry, &frame);
  }
  if (frame.type != TYPE_END) fail(session, EPROTO, "bad_request", "ENTRY or END is expected");
  decode_or_fail(session, &end, &frame, TAG_BIT(TAG_FLAGS), 0);
  if (message_number(&end, TAG_FLAGS, 0) & FLAG_TRUNCATED) fail_errno(session, ECANCELED, "tree");
  settle_all(&writing);
  abandon = NULL;
  apply_later(&writing);
  struct sink *sink = open_frame(session, TYPE_OK);
  sink_number(sink, TAG_SIZE, writing.entries);
  sink_commit(sink);
}
