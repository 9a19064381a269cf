// What the host does with a background process: read its output, write its input, signal it, wait for it.
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

// Looked at again at least this often: the sandbox owns the files, and can break the watch but not the table.
enum { RECHECK_MS = 200 };

struct target {
  struct proc proc;
  uint32_t state;
  pid_t keeper;
  int index;
};

static bool look_up(struct session *session, struct target *target) {
  target->index = proc_find(message_text(&session->request, TAG_ID, ""), &target->proc, &target->state, &target->keeper);
  return target->index >= 0;
}

static void find_or_fail(struct session *session, struct target *target) {
  if (!look_up(session, target)) fail(session, ESRCH, "not_found", "no process of this id");
}

static int open_watch(const char *id) {
  char path[64 + PROC_ID_MAX];
  snprintf(path, sizeof path, "/.banyan/proc/%s", id);
  int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (fd >= 0) inotify_add_watch(fd, path, IN_MODIFY | IN_ATTRIB | IN_CREATE);
  return fd;
}

// Waits for a change of the files; ends the process when the host is gone.
static void wait_for_change(struct session *session, int watch, uint64_t most_ms) {
  char events[4096];
  struct pollfd ready[2] = {{.fd = watch, .events = POLLIN}, {.fd = session->fd, .events = POLLIN | POLLRDHUP}};
  if (poll(ready, 2, most_ms < RECHECK_MS ? (int)most_ms : RECHECK_MS) <= 0) return;
  if (ready[1].revents) _exit(0);
  if (read(watch, events, sizeof events) < 0 && errno != EAGAIN) poll(NULL, 0, RECHECK_MS);
}

static int open_output(struct session *session, const char *id, bool err) {
  int directory = proc_open_directory(id, false);
  int fd = directory < 0 ? -1 : openat(directory, err ? "err" : "out", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  struct stat stat;
  if (fd < 0 || fstat(fd, &stat) < 0) fail_errno(session, errno, "output file");
  if (!S_ISREG(stat.st_mode)) fail_errno(session, EINVAL, "output file");
  close(directory);
  return fd;
}

// Sends what is in the file from `*offset` up to `end`.
static void send_range(struct session *session, int fd, uint8_t type, uint64_t *offset, uint64_t end) {
  while (*offset < end) {
    flush_when_full(session);
    uint64_t left = end - *offset;
    ssize_t got = pread(fd, sink_reserve(&session->sink), left < DATA_MAX ? (size_t)left : DATA_MAX, (off_t)*offset);
    if (got < 0) fail_errno(session, errno, "read");
    if (got == 0) break;
    sink_commit_reserved(&session->sink, type, (size_t)got);
    *offset += (uint64_t)got;
  }
  flush(session);
}

static uint64_t size_of(int fd) {
  struct stat stat;
  return fstat(fd, &stat) == 0 ? (uint64_t)stat.st_size : 0;
}

void serve_proc_read(struct session *session) {
  const struct message *request = &session->request;
  struct target target;
  find_or_fail(session, &target);
  uint64_t stream = message_number(request, TAG_STREAM, 1), offset = message_number(request, TAG_OFFSET, 0);
  uint64_t length = message_number(request, TAG_LENGTH, UINT64_MAX);
  if (stream < 1 || stream > 2 || offset > INT64_MAX) fail(session, EINVAL, "bad_request", "no such stream or offset");
  uint64_t last = length > UINT64_MAX - offset ? UINT64_MAX : offset + length;
  bool follow = message_number(request, TAG_FLAGS, 0) & FLAG_FOLLOW;
  int watch = follow ? open_watch(target.proc.id) : -1;
  int fd = open_output(session, target.proc.id, stream == 2);
  for (;;) {
    // The state is read before the size: what an ended process wrote is all in the size.
    bool found = look_up(session, &target);
    bool running = found && target.state == STATE_RUNNING;
    uint64_t size = size_of(fd);
    send_range(session, fd, stream == 2 ? TYPE_STDERR : TYPE_STDOUT, &offset, size < last ? size : last);
    if (!follow || !running || offset >= last) break;
    wait_for_change(session, watch, RECHECK_MS);
  }
  struct sink *sink = open_frame(session, TYPE_OK);
  sink_number(sink, TAG_SIZE, size_of(fd));
  sink_number(sink, TAG_STATE, target.index >= 0 ? target.state : STATE_EXITED);
  sink_commit(sink);
}

static int open_input(struct session *session, const struct target *target) {
  bool takes = target->state == STATE_RUNNING && (target->proc.flags & FLAG_STDIN) && !target->proc.closes_stdin;
  if (!takes) fail(session, EPIPE, "errno", "the process takes no input");
  int directory = proc_open_directory(target->proc.id, false);
  int fd = directory < 0 ? -1 : openat(directory, "in", O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  struct stat stat;
  if (fd < 0) fail_errno(session, errno == ENXIO ? EPIPE : errno, "input");
  if (fstat(fd, &stat) < 0 || !S_ISFIFO(stat.st_mode)) fail_errno(session, EINVAL, "input");
  close(directory);
  return fd;
}

static void write_input(struct session *session, int fd, const char *bytes, size_t length) {
  while (length) {
    ssize_t put = write(fd, bytes, length);
    if (put < 0 && errno != EAGAIN && errno != EINTR) fail_errno(session, errno, "input");
    if (put > 0) {
      bytes += put;
      length -= (size_t)put;
      continue;
    }
    struct pollfd ready[2] = {{.fd = fd, .events = POLLOUT}, {.fd = session->fd, .events = POLLRDHUP}};
    poll(ready, 2, -1);
    if (ready[1].revents) _exit(0);
  }
}

void serve_proc_stdin(struct session *session) {
  struct target target;
  struct frame frame;
  uint64_t taken = 0;
  find_or_fail(session, &target);
  int fd = open_input(session, &target);
  for (next_frame(session, &frame); frame.type == TYPE_DATA; next_frame(session, &frame)) {
    write_input(session, fd, frame.payload, frame.length);
    taken += frame.length;
  }
  if (frame.type != TYPE_END) fail(session, EPROTO, "bad_request", "DATA or END is expected");
  decode_or_fail(session, &session->request, &frame, TAG_BIT(TAG_FLAGS), 0);
  if (message_number(&session->request, TAG_FLAGS, 0) & FLAG_CLOSE_STDIN) {
    atomic_store(&proc_at(target.index)->closes_stdin, true);
    if (target.keeper) kill(target.keeper, SIGUSR1);
  }
  struct sink *sink = open_frame(session, TYPE_OK);
  sink_number(sink, TAG_SIZE, taken);
  sink_commit(sink);
}

void serve_proc_signal(struct session *session) {
  const struct message *request = &session->request;
  struct target target;
  int signal = (int)(message_number(request, TAG_SIGNAL, 0) & 0x7f);
  find_or_fail(session, &target);
  bool tree = message_number(request, TAG_FLAGS, 0) & FLAG_TREE;
  bool running = target.state == STATE_RUNNING;
  int hit = 0;
  if (tree) {
    // Whatever the process left behind descends from its keeper; without one, only what still hangs below it is found.
    pid_t root = target.keeper ? target.keeper : running ? target.proc.pid : 0;
    if (root && signal == SIGKILL) tree_stop(root);
    if (root) hit = tree_signal(root, signal);
  }
  // It leads its session and group; a shell in the foreground would not pass a signal on.
  if (running && (!tree || !target.keeper)) hit += kill(-target.proc.pid, signal) == 0 || kill(target.proc.pid, signal) == 0;
  if (!hit) fail(session, ESRCH, "not_found", "the process has ended");
  sink_commit(open_frame(session, TYPE_OK));
}

void serve_proc_wait(struct session *session) {
  struct target target;
  struct sink *sink = &session->sink;
  find_or_fail(session, &target);
  uint64_t timeout_ms = message_number(&session->request, TAG_TIMEOUT_MS, UINT64_MAX), started_us = now_us();
  int watch = open_watch(target.proc.id);
  while (look_up(session, &target) && target.state == STATE_RUNNING) {
    uint64_t waited_ms = (now_us() - started_us) / 1000;
    if (waited_ms >= timeout_ms) fail(session, ETIMEDOUT, "errno", "the process still runs");
    wait_for_change(session, watch, timeout_ms - waited_ms);
  }
  if (target.index < 0) fail(session, ESRCH, "not_found", "the process is no longer in the table");
  const struct proc *proc = &target.proc;
  open_frame(session, TYPE_EXIT);
  sink_number(sink, proc->signal ? TAG_SIGNAL : TAG_CODE, (uint64_t)(proc->signal ? proc->signal : proc->code));
  if (proc->flags & FLAG_TIMED_OUT) sink_number(sink, TAG_FLAGS, FLAG_TIMED_OUT);
  sink_number(sink, TAG_DURATION_US, proc->ended_us > proc->started_us ? proc->ended_us - proc->started_us : 0);
  sink_number(sink, TAG_OUT_BYTES, proc->out_bytes);
  sink_number(sink, TAG_ERR_BYTES, proc->err_bytes);
  sink_commit(sink);
}
