// Single files: STAT, READ, WRITE, MKDIR, MOVE, CHMOD.
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

// Files of /proc tell no size; they are read to their end, but not without end.
enum { UNSIZED_MAX = 16 << 20, NO_REPLACE = 1 };

static const char *path_of(struct session *session, uint8_t tag, bool follow) {
  const char *path = message_text(&session->request, tag, "");
  if (*path != '/') fail(session, EINVAL, "bad_request", "a path must be absolute");
  root_keep_own(session, path, follow);
  return path;
}

const char *request_path(struct session *session) { return path_of(session, TAG_PATH, true); }

const char *request_place(struct session *session) { return path_of(session, TAG_PATH, false); }

static uint64_t request_flags(const struct session *session) { return message_number(&session->request, TAG_FLAGS, 0); }

char type_letter(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR: return 'd';
    case S_IFLNK: return 'l';
    case S_IFIFO: return 'p';
    case S_IFSOCK: return 's';
    case S_IFCHR: return 'c';
    case S_IFBLK: return 'b';
    default: return 'f';
  }
}

void send_entry(struct session *session, const char *shown, const struct stat *stat, int parent, const char *name) {
  struct sink *sink = &session->sink;
  char type = type_letter(stat->st_mode), link[PATH_MAX];
  open_frame(session, TYPE_ENTRY);
  sink_text(sink, TAG_PATH, shown);
  sink_bytes(sink, TAG_TYPE, &type, 1);
  sink_number(sink, TAG_MODE, stat->st_mode & 07777);
  sink_number(sink, TAG_SIZE, (uint64_t)stat->st_size);
  sink_number(sink, TAG_MTIME_NS, (uint64_t)stat->st_mtim.tv_sec * 1000000000 + (uint64_t)stat->st_mtim.tv_nsec);
  sink_number(sink, TAG_UID, stat->st_uid);
  sink_number(sink, TAG_GID, stat->st_gid);
  ssize_t length = type == 'l' ? readlinkat(parent, name, link, sizeof link) : -1;
  if (length >= 0) sink_bytes(sink, TAG_LINK, link, (size_t)length);
  sink_commit(sink);
}

void check_host(struct session *session) {
  char byte;
  if (recv(session->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) _exit(0);
}

static void reply_size(struct session *session, uint64_t size) {
  struct sink *sink = open_frame(session, TYPE_OK);
  sink_number(sink, TAG_SIZE, size);
  sink_commit(sink);
}

static void reply_ok(struct session *session) {
  sink_commit(open_frame(session, TYPE_OK));
}

void serve_stat(struct session *session) {
  int flags = request_flags(session) & FLAG_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0;
  const char *path = flags ? request_place(session) : request_path(session);
  assume_user(session);
  struct stat stat;
  if (fstatat(AT_FDCWD, path, &stat, flags) < 0) fail_errno(session, errno, path);
  send_entry(session, path, &stat, AT_FDCWD, path);
}

static uint64_t readable_until(struct session *session, const struct stat *stat, uint64_t offset) {
  uint64_t end = stat->st_size > 0 ? (uint64_t)stat->st_size : UNSIZED_MAX;
  uint64_t length = message_number(&session->request, TAG_LENGTH, UINT64_MAX);
  return length < UINT64_MAX - offset && offset + length < end ? offset + length : end;
}

void serve_read(struct session *session) {
  const char *path = request_path(session);
  assume_user(session);
  struct stat stat;
  uint64_t offset = message_number(&session->request, TAG_OFFSET, 0);
  // Without O_NONBLOCK the open of a FIFO would wait for a writer that may never come.
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &stat) < 0) fail_errno(session, errno, path);
  if (!S_ISREG(stat.st_mode)) fail_errno(session, S_ISDIR(stat.st_mode) ? EISDIR : EINVAL, path);
  if (offset > INT64_MAX) fail_errno(session, EINVAL, "offset");
  send_entry(session, path, &stat, AT_FDCWD, path);
  uint64_t end = readable_until(session, &stat, offset);
  while (offset < end) {
    flush_when_full(session);
    uint64_t left = end - offset;
    ssize_t got = pread(fd, sink_reserve(&session->sink), left < DATA_MAX ? (size_t)left : DATA_MAX, (off_t)offset);
    if (got < 0) fail_errno(session, errno, path);
    if (got == 0) break;
    sink_commit_reserved(&session->sink, TYPE_DATA, (size_t)got);
    offset += (uint64_t)got;
  }
  reply_ok(session);
}

// Everything up to END goes to `fd`; how many bytes that was.
static uint64_t take_content(struct session *session, int fd, const char *path) {
  struct frame frame;
  uint64_t taken = 0;
  for (next_frame(session, &frame); frame.type == TYPE_DATA; next_frame(session, &frame)) {
    if (write_all(fd, frame.payload, frame.length) < 0) fail_errno(session, errno, path);
    taken += frame.length;
  }
  if (frame.type != TYPE_END || frame.length) fail(session, EPROTO, "bad_request", "DATA or END is expected");
  return taken;
}

// A part that does not arrive whole leaves nothing of itself. What is appended may stand behind what others appended meanwhile, and stays.
static struct {
  struct made made;
  int fd;
  off_t size;
} in_place = {.fd = -1};

static void undo_in_place(void) {
  if (in_place.fd >= 0) (void)!ftruncate(in_place.fd, in_place.size);
  unmake_directories(&in_place.made);
}

// Where all of it cannot be held nothing of it is written: on a disk that is full to the last block what was written could not be cut off again.
// A filesystem that sets nothing aside finds out by itself.
static void set_aside(struct session *session, int fd, uint64_t offset, const char *path) {
  uint64_t size = message_number(&session->request, TAG_SIZE, 0);
  if (!size || size > INT64_MAX - offset || fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)size) == 0) return;
  if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG) fail_errno(session, errno, path);
}

static void write_in_place(struct session *session, const char *path, uint64_t flags, uint64_t mode) {
  struct stat stat;
  uint64_t offset = message_number(&session->request, TAG_OFFSET, 0);
  int how = O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  how |= (flags & FLAG_APPEND ? O_APPEND : 0) | (flags & FLAG_EXCLUSIVE ? O_EXCL : 0);
  if (offset > INT64_MAX) fail_errno(session, EINVAL, "offset");
  int fd = open(path, how, mode == UINT64_MAX ? 0644 : (mode_t)mode & 07777);
  if (fd < 0 || fstat(fd, &stat) < 0) fail_errno(session, errno == ENXIO ? EINVAL : errno, path);
  if (!S_ISREG(stat.st_mode)) fail_errno(session, EINVAL, path);
  if (!(flags & FLAG_APPEND) && lseek(fd, (off_t)offset, SEEK_SET) < 0) fail_errno(session, errno, path);
  in_place.size = stat.st_size;
  if (!(flags & FLAG_APPEND)) {
    in_place.fd = fd;
    set_aside(session, fd, offset, path);
  }
  uint64_t taken = take_content(session, fd, path);
  if ((flags & FLAG_SYNC) && fdatasync(fd) < 0) fail_errno(session, errno, path);
  abandon = NULL;
  reply_size(session, taken);
}

void serve_write(struct session *session) {
  const char *path = request_path(session);
  assume_user(session);
  uint64_t flags = request_flags(session), mode = message_number(&session->request, TAG_MODE, UINT64_MAX);
  if ((flags & FLAG_APPEND) || message_has(&session->request, TAG_OFFSET)) {
    char parent[PATH_MAX];
    snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(path, '/') - path), path);
    abandon = undo_in_place;
    if ((flags & FLAG_PARENTS) && *parent && make_directories(parent, 0755, &in_place.made) < 0) fail_errno(session, errno, parent);
    write_in_place(session, path, flags, mode);
    return;
  }
  static struct draft draft;
  draft_open(session, &draft, path, flags & FLAG_PARENTS);
  if (draft.exists && (flags & FLAG_EXCLUSIVE)) fail_errno(session, EEXIST, path);
  uint64_t taken = take_content(session, draft.fd, path);
  draft_commit(session, &draft, flags & FLAG_EXCLUSIVE, mode);
  reply_size(session, taken);
}

void serve_mkdir(struct session *session) {
  const char *path = request_path(session);
  assume_user(session);
  umask(0);
  mode_t mode = (mode_t)message_number(&session->request, TAG_MODE, 0755) & 07777;
  static struct made made;
  int result = request_flags(session) & FLAG_PARENTS ? make_directories(path, mode, &made) : mkdir(path, mode);
  if (result < 0) fail_errno(session, errno, path);
  reply_ok(session);
}

// So that the name outlives a crash of the machine, as what it names does.
static void sync_parent(struct session *session, const char *path) {
  char parent[PATH_MAX];
  snprintf(parent, sizeof parent, "%.*s/", (int)(strrchr(path, '/') - path), path);
  int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  // A filesystem that keeps no names of its own has none to write down.
  if (fd < 0 || (fsync(fd) < 0 && errno != EOPNOTSUPP && errno != EINVAL)) fail_errno(session, errno, parent);
  close(fd);
}

void serve_move(struct session *session) {
  const char *path = request_place(session), *to = path_of(session, TAG_TO, false);
  assume_user(session);
  unsigned flags = request_flags(session) & FLAG_EXCLUSIVE ? NO_REPLACE : 0;
  if (syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, to, flags) < 0) fail_errno(session, errno, path);
  if (request_flags(session) & FLAG_SYNC) sync_parent(session, to);
  reply_ok(session);
}

static int change(const struct session *session, int parent, const char *name, bool is_link) {
  const struct message *request = &session->request;
  uid_t uid = (uid_t)message_number(request, TAG_UID, UINT32_MAX);
  gid_t gid = (gid_t)message_number(request, TAG_GID, UINT32_MAX);
  bool owner = message_has(request, TAG_UID) || message_has(request, TAG_GID);
  if (owner && fchownat(parent, name, uid, gid, is_link ? AT_SYMLINK_NOFOLLOW : 0) < 0) return -1;
  bool mode = !is_link && message_has(request, TAG_MODE);
  if (mode && fchmodat(parent, name, (mode_t)message_number(request, TAG_MODE, 0) & 07777, 0) < 0) return -1;
  if (!message_has(request, TAG_MTIME_NS)) return 0;
  struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, modified_at(message_number(request, TAG_MTIME_NS, 0))};
  return utimensat(parent, name, times, is_link ? AT_SYMLINK_NOFOLLOW : 0);
}

static enum walk_step change_visited(void *context, const struct visit *visit) {
  struct session *session = context;
  if (visit->depth == 0) return WALK_ON;
  if (change(session, visit->parent, visit->name, S_ISLNK(visit->stat->st_mode)) < 0) fail_errno(session, errno, visit->path);
  return WALK_ON;
}

void serve_chmod(struct session *session) {
  const char *path = request_path(session);
  assume_user(session);
  if (change(session, AT_FDCWD, path, false) < 0) fail_errno(session, errno, path);
  int error = request_flags(session) & FLAG_RECURSIVE ? walk(path, change_visited, session) : 0;
  if (error) fail_errno(session, -error, path);
  reply_ok(session);
}
