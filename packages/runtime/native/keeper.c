// SPAWN: a command in the background. Its handler lives on as its keeper: supervisor, clock and holder of its input.
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct keeper {
  int index, directory, input, out, err;
  struct child child;
  uint64_t deadline_us;
};

static int claimed = -1;

static void release_claim(void) {
  proc_remove_directory(proc_at(claimed)->id);
  proc_release(claimed);
}

static int open_output(struct session *session, struct keeper *keeper, const char *name, const struct identity *owner) {
  int fd = openat(keeper->directory, name, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
  // A command that opens /dev/stdout anew needs to be its owner.
  if (fd < 0 || (owner && fchown(fd, owner->uid, owner->gid) < 0)) fail_errno(session, errno, "output file");
  return fd;
}

// The write end stays here until CLOSE_STDIN, so that the command does not see the end of its input between two senders.
static int open_input(struct session *session, struct keeper *keeper, uint64_t flags) {
  if (!(flags & FLAG_STDIN)) {
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0) fail_errno(session, errno, "/dev/null");
    return null;
  }
  if (mkfifoat(keeper->directory, "in", 0600) < 0) fail_errno(session, errno, "input");
  int reader = openat(keeper->directory, "in", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  keeper->input = openat(keeper->directory, "in", O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (reader < 0 || keeper->input < 0 || fcntl(reader, F_SETFL, 0) < 0) fail_errno(session, errno, "input");
  return reader;
}

static void touch(int fd) {
  if (fd >= 0) futimens(fd, NULL);
}

static void note_end(struct keeper *keeper) {
  siginfo_t info = {.si_pid = 0};
  struct proc *proc = proc_at(keeper->index);
  // Told before it is reaped: as long as the table says it runs, its pid is not another's.
  if (keeper->child.ended || waitid(P_PID, (id_t)keeper->child.pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || !info.si_pid) return;
  struct stat stat;
  if (fstat(keeper->out, &stat) == 0) proc->out_bytes = (uint64_t)stat.st_size;
  if (fstat(keeper->err, &stat) == 0) proc->err_bytes = (uint64_t)stat.st_size;
  proc_publish_exit(keeper->index, info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status);
  touch(keeper->out);
  touch(keeper->err);
}

static int wait_ms(const struct keeper *keeper) {
  if (!keeper->deadline_us || keeper->child.ended) return -1;
  uint64_t now = now_us(), left = keeper->deadline_us > now ? (keeper->deadline_us - now + 999) / 1000 : 0;
  return left > INT_MAX ? INT_MAX : (int)left;
}

static void check_deadline(struct keeper *keeper) {
  if (!keeper->deadline_us || keeper->child.ended || now_us() < keeper->deadline_us) return;
  proc_at(keeper->index)->flags |= FLAG_TIMED_OUT;
  keeper->deadline_us = 0;
  // The main process goes first, so that its end is told before the rest is gone.
  kill(keeper->child.pid, SIGKILL);
  siginfo_t info;
  waitid(P_PID, (id_t)keeper->child.pid, &info, WEXITED | WNOWAIT);
  note_end(keeper);
  tree_kill(&keeper->child);
}

_Noreturn static void keep(struct keeper *keeper, int signals) {
  for (;;) {
    note_end(keeper);
    if (!reap(&keeper->child)) _exit(0);
    struct pollfd ready = {.fd = signals, .events = POLLIN};
    struct signalfd_siginfo info;
    if (poll(&ready, 1, wait_ms(keeper)) > 0 && read(signals, &info, sizeof info) < 0 && errno != EAGAIN) _exit(1);
    check_deadline(keeper);
    if (keeper->input >= 0 && atomic_load(&proc_at(keeper->index)->closes_stdin)) {
      close(keeper->input);
      keeper->input = -1;
    }
  }
}

void serve_spawn(struct session *session) {
  const struct message *request = &session->request;
  static struct identity identity;
  struct keeper keeper = {.input = -1};
  struct command command = {.stdio = {-1, -1, -1}};
  const char *id = message_text(request, TAG_ID, "");
  uint64_t flags = message_number(request, TAG_FLAGS, 0) & FLAG_STDIN;
  uint64_t timeout_ms = message_number(request, TAG_TIMEOUT_MS, 0);
  if (!proc_id_valid(id)) fail(session, EINVAL, "bad_request", "an id has 1 to 64 letters, digits, '_' or '-'");
  command_prepare(session, &command, &identity);
  keeper.index = claimed = proc_claim(id);
  if (claimed < 0) fail_errno(session, errno, errno == EEXIST ? "a process of this id exists" : "the process table is full");
  abandon = release_claim;
  keeper.directory = proc_open_directory(id, true);
  if (keeper.directory < 0) fail_errno(session, errno, "/.banyan/proc");
  command.stdio[0] = open_input(session, &keeper, flags);
  command.stdio[1] = keeper.out = open_output(session, &keeper, "out", command.identity);
  command.stdio[2] = keeper.err = open_output(session, &keeper, "err", command.identity);
  int signals = supervise();
  if (signals < 0) fail_errno(session, errno, "supervisor");
  keeper.child.pid = command_start(&command);
  if (keeper.child.pid < 0) fail(session, command.error, command.code, strerror(command.error));
  close(command.stdio[0]);
  struct proc *proc = proc_at(keeper.index);
  proc->pid = keeper.child.pid;
  proc->flags = flags;
  proc->started_us = realtime_us();
  if (timeout_ms && timeout_ms < UINT64_MAX / 2000) keeper.deadline_us = now_us() + timeout_ms * 1000;
  proc_publish_running(keeper.index);
  abandon = NULL;
  sink_begin(&session->sink, TYPE_STARTED);
  sink_number(&session->sink, TAG_PID, (uint64_t)keeper.child.pid);
  sink_commit(&session->sink);
  // The process is there whether or not its host still is.
  sink_flush(&session->sink, 0);
  shutdown(session->fd, SHUT_RDWR);
  close(session->fd);
  keep(&keeper, signals);
}
