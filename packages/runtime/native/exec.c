// EXEC: one command in the foreground of one connection.
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

// A held back STARTED rides with the first output or the EXIT of a short command: one wake-up of the host instead of two.
enum { STARTED_HOLD_MS = 3, TERMINAL_QUIET_MS = 20, TERMINAL_DRAIN_MAX = 1 << 20 };

struct output {
  int fd;
  uint8_t type;
  uint64_t bytes;
};

struct exec {
  struct session *session;
  struct child child;
  int signals, terminal, input;
  struct output outputs[2];
  const char *pending;
  size_t pending_bytes;
  bool input_ends, timed_out, announced;
  uint64_t output_max, started_us, deadline_us;
};

enum { SLOT_HOST, SLOT_SIGNALS, SLOT_OUT, SLOT_ERR, SLOT_INPUT, SLOTS };

static void close_input(struct exec *exec) {
  if (exec->input >= 0 && exec->input != exec->terminal) close(exec->input);
  exec->input = -1;
  exec->pending_bytes = 0;
}

static void set_window(int terminal, uint64_t rows, uint64_t cols) {
  struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols};
  ioctl(terminal, TIOCSWINSZ, &size);
}

static void open_pipe(struct session *session, int ends[2], int our_end) {
  if (pipe2(ends, O_CLOEXEC) < 0) fail_errno(session, errno, "pipe");
  fcntl(ends[our_end], F_SETFL, O_NONBLOCK);
}

static void open_terminal(struct exec *exec, struct command *command) {
  struct session *session = exec->session;
  int unlocked = 0;
  exec->terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (exec->terminal < 0) fail_errno(session, errno, "/dev/ptmx");
  if (ioctl(exec->terminal, TIOCSPTLCK, &unlocked) < 0) fail_errno(session, errno, "terminal");
  int end = ioctl(exec->terminal, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (end < 0) fail_errno(session, errno, "terminal");
  set_window(exec->terminal, message_number(&session->request, TAG_ROWS, 24), message_number(&session->request, TAG_COLS, 80));
  command->terminal = true;
  command->stdio[0] = command->stdio[1] = command->stdio[2] = end;
  exec->input = exec->outputs[0].fd = exec->terminal;
}

static void open_stdio(struct exec *exec, struct command *command, uint64_t flags) {
  if (flags & FLAG_PTY) {
    open_terminal(exec, command);
    return;
  }
  for (int i = 0; i < 2; i++) {
    int ends[2];
    open_pipe(exec->session, ends, 0);
    exec->outputs[i].fd = ends[0];
    command->stdio[1 + i] = ends[1];
  }
  if (flags & FLAG_STDIN) {
    int ends[2];
    open_pipe(exec->session, ends, 1);
    exec->input = ends[1];
    command->stdio[0] = ends[0];
  } else {
    command->stdio[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (command->stdio[0] < 0) fail_errno(exec->session, errno, "/dev/null");
  }
}

static void close_stdio(const struct command *command) {
  for (int i = 0; i < 3; i++) {
    if (!command->terminal || i == 0) close(command->stdio[i]);
  }
}

static struct exec running;

// The host is gone, or speaks nonsense: what it started goes too.
static void kill_running(void) { tree_kill(&running.child); }

_Noreturn static void give_up(void) {
  kill_running();
  _exit(0);
}

// Reads once and sends what OUTPUT_MAX still allows; false at the end of the stream.
static bool forward(struct exec *exec, struct output *output, size_t at_most) {
  struct sink *sink = &exec->session->sink;
  char *room = sink_reserve(sink);
  if (!room) return true;
  ssize_t got = read(output->fd, room, at_most < DATA_MAX ? at_most : DATA_MAX);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return false;
  uint64_t left = output->bytes < exec->output_max ? exec->output_max - output->bytes : 0;
  output->bytes += (uint64_t)got;
  if (left) sink_commit_reserved(sink, output->type, (uint64_t)got < left ? (size_t)got : (size_t)left);
  return true;
}

static void close_output(struct exec *exec, struct output *output) {
  if (output->fd != exec->terminal) close(output->fd);
  output->fd = -1;
}

static void write_pending(struct exec *exec) {
  ssize_t put = write(exec->input, exec->pending, exec->pending_bytes);
  if (put < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (put < 0) {
    // The command closed its input: what still comes for it is dropped.
    close_input(exec);
    return;
  }
  exec->pending += put;
  exec->pending_bytes -= (size_t)put;
  if (!exec->pending_bytes && exec->input_ends) close_input(exec);
}

static void take_frame(struct exec *exec, const struct frame *frame) {
  struct session *session = exec->session;
  static struct message message;
  if (frame->type == TYPE_STDIN) {
    if (exec->input < 0) return;
    exec->pending = frame->payload;
    exec->pending_bytes = frame->length;
    write_pending(exec);
  } else if (frame->type == TYPE_STDIN_CLOSE) {
    static const char end_of_input[] = "\4";
    exec->input_ends = exec->terminal < 0;
    exec->pending = end_of_input;
    exec->pending_bytes = exec->terminal < 0 ? 0 : 1;
    if (exec->input_ends) close_input(exec);
  } else if (frame->type == TYPE_RESIZE) {
    uint64_t both = TAG_BIT(TAG_ROWS) | TAG_BIT(TAG_COLS);
    decode_or_fail(session, &message, frame, both, both);
    if (exec->terminal >= 0) set_window(exec->terminal, message_number(&message, TAG_ROWS, 0), message_number(&message, TAG_COLS, 0));
  } else if (frame->type == TYPE_SIGNAL) {
    decode_or_fail(session, &message, frame, TAG_BIT(TAG_SIGNAL), TAG_BIT(TAG_SIGNAL));
    int signal = (int)message_number(&message, TAG_SIGNAL, 0);
    // The command leads its session and group; a shell in the foreground would not pass a signal on.
    if (kill(-exec->child.pid, signal) < 0) kill(exec->child.pid, signal);
  } else {
    fail(session, EPROTO, "bad_request", "unknown frame during EXEC");
  }
}

// Frames wait in the reader while input is pending: the pipe's pace is the host's pace.
static void take_frames(struct exec *exec) {
  struct frame frame;
  int found = 0;
  while (!exec->pending_bytes && (found = reader_next(&exec->session->reader, &frame)) == 1) take_frame(exec, &frame);
  if (found < 0) give_up();
}

static void take_host(struct exec *exec) {
  ssize_t got = reader_fill(&exec->session->reader, MSG_DONTWAIT);
  if (got == 0 || (got < 0 && errno != EAGAIN)) give_up();
  take_frames(exec);
}

static int wait_ms(const struct exec *exec) {
  if (!exec->announced) return STARTED_HOLD_MS;
  if (!exec->deadline_us || exec->timed_out) return -1;
  uint64_t now = now_us();
  if (now >= exec->deadline_us) return 0;
  uint64_t left_ms = (exec->deadline_us - now + 999) / 1000;
  return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

static void check_deadline(struct exec *exec) {
  if (!exec->deadline_us || exec->timed_out || now_us() < exec->deadline_us) return;
  exec->timed_out = true;
  tree_kill(&exec->child);
}

static void turn(struct exec *exec) {
  struct sink *sink = &exec->session->sink;
  bool room = sink_reserve(sink) != NULL;
  bool sending = exec->announced && !sink_empty(sink);
  struct pollfd ready[SLOTS] = {
      [SLOT_HOST] = {.fd = exec->session->fd, .events = (short)(POLLRDHUP | (exec->pending_bytes ? 0 : POLLIN) | (sending ? POLLOUT : 0))},
      [SLOT_SIGNALS] = {.fd = exec->signals, .events = POLLIN},
      [SLOT_OUT] = {.fd = room ? exec->outputs[0].fd : -1, .events = POLLIN},
      [SLOT_ERR] = {.fd = room ? exec->outputs[1].fd : -1, .events = POLLIN},
      [SLOT_INPUT] = {.fd = exec->pending_bytes ? exec->input : -1, .events = POLLOUT},
  };
  int count = poll(ready, SLOTS, wait_ms(exec));
  if (count == 0) exec->announced = true;
  check_deadline(exec);
  if (count > 0) {
    if (ready[SLOT_INPUT].revents) {
      write_pending(exec);
      take_frames(exec);
    }
    if (ready[SLOT_HOST].revents & POLLIN) take_host(exec);
    else if (ready[SLOT_HOST].revents & (POLLRDHUP | POLLHUP | POLLERR)) give_up();
    for (int i = 0; i < 2; i++) {
      if (!ready[SLOT_OUT + i].revents || exec->outputs[i].fd < 0) continue;
      if (!forward(exec, &exec->outputs[i], DATA_MAX)) close_output(exec, &exec->outputs[i]);
      exec->announced |= exec->outputs[i].bytes > 0;
    }
    struct signalfd_siginfo info;
    if (ready[SLOT_SIGNALS].revents && read(exec->signals, &info, sizeof info) > 0) reap(&exec->child);
  }
  bool lost = exec->announced && sink_flush(sink, MSG_DONTWAIT) < 0 && errno != EAGAIN;
  if (lost) give_up();
}

// Background children may hold the pipes open and go on writing, so what is in them now is all that is waited for.
static void drain(struct exec *exec, struct output *output) {
  int left = 0;
  if (output->fd < 0 || ioctl(output->fd, FIONREAD, &left) < 0) return;
  while (left > 0) {
    uint64_t before = output->bytes;
    flush(exec->session);
    if (!forward(exec, output, (size_t)left) || output->bytes == before) return;
    left -= (int)(output->bytes - before);
  }
}

// A terminal delivers late what was written before its last user ended; its end of file or a short silence tells that all is there.
static void drain_terminal(struct exec *exec, struct output *output) {
  struct pollfd ready = {.fd = output->fd, .events = POLLIN};
  uint64_t until = output->bytes + TERMINAL_DRAIN_MAX;
  while (output->bytes < until && poll(&ready, 1, TERMINAL_QUIET_MS) == 1) {
    flush(exec->session);
    if (!forward(exec, output, DATA_MAX)) return;
  }
}

static void report_exit(struct exec *exec) {
  struct sink *sink = &exec->session->sink;
  int status = exec->child.status;
  open_frame(exec->session, TYPE_EXIT);
  if (!exec->child.ended) sink_number(sink, TAG_SIGNAL, SIGKILL);
  else if (WIFSIGNALED(status)) sink_number(sink, TAG_SIGNAL, (uint64_t)WTERMSIG(status));
  else sink_number(sink, TAG_CODE, (uint64_t)WEXITSTATUS(status));
  if (exec->timed_out) sink_number(sink, TAG_FLAGS, FLAG_TIMED_OUT);
  sink_number(sink, TAG_DURATION_US, now_us() - exec->started_us);
  sink_number(sink, TAG_OUT_BYTES, exec->outputs[0].bytes);
  sink_number(sink, TAG_ERR_BYTES, exec->outputs[1].bytes);
  sink_commit(sink);
  flush(exec->session);
  abandon = NULL;
  linger(exec->session);
}

// A server started with `&` would die of SIGPIPE without a reader, and nobody else would reap what it leaves.
static void outlive(struct exec *exec) {
  static char discarded[DATA_MAX];
  close_input(exec);
  while (reap(&exec->child)) {
    struct pollfd ready[3] = {{.fd = exec->signals, .events = POLLIN},
                              {.fd = exec->outputs[0].fd, .events = POLLIN},
                              {.fd = exec->outputs[1].fd, .events = POLLIN}};
    poll(ready, 3, -1);
    struct signalfd_siginfo info;
    if (ready[0].revents && read(exec->signals, &info, sizeof info) < 0 && errno != EAGAIN) return;
    for (int i = 0; i < 2; i++) {
      if (!ready[1 + i].revents) continue;
      ssize_t got = read(exec->outputs[i].fd, discarded, sizeof discarded);
      if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) exec->outputs[i].fd = -1;
    }
  }
}

void serve_exec(struct session *session) {
  struct exec *exec = &running;
  static struct identity identity;
  const struct message *request = &session->request;
  running = (struct exec){.session = session, .terminal = -1, .input = -1,
                       .outputs = {{.fd = -1, .type = TYPE_STDOUT}, {.fd = -1, .type = TYPE_STDERR}}};
  exec->output_max = message_number(request, TAG_OUTPUT_MAX, UINT64_MAX);
  exec->signals = supervise();
  if (exec->signals < 0) fail_errno(session, errno, "supervisor");
  struct command command = {.stdio = {-1, -1, -1}};
  command_prepare(session, &command, &identity);
  open_stdio(exec, &command, message_number(request, TAG_FLAGS, 0));
  exec->started_us = now_us();
  exec->child.pid = command_start(&command);
  if (exec->child.pid < 0) fail(session, command.error, command.code, strerror(command.error));
  abandon = kill_running;
  close_stdio(&command);
  uint64_t timeout_ms = message_number(request, TAG_TIMEOUT_MS, 0);
  if (timeout_ms && timeout_ms < UINT64_MAX / 2000) exec->deadline_us = exec->started_us + timeout_ms * 1000;
  struct sink *sink = open_frame(session, TYPE_STARTED);
  sink_number(sink, TAG_PID, (uint64_t)exec->child.pid);
  sink_commit(sink);
  take_frames(exec);
  while (!exec->child.ended && !exec->timed_out) turn(exec);
  if (exec->terminal >= 0) drain_terminal(exec, &exec->outputs[0]);
  for (int i = 0; i < 2 && exec->terminal < 0; i++) drain(exec, &exec->outputs[i]);
  report_exit(exec);
  outlive(exec);
  _exit(0);
}
