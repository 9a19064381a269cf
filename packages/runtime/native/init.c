// PID 1 of a slot: accepts, forks a handler for each connection, reaps. It never waits for anyone but its own socket.
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BACKLOG = 1024, REAP_BATCH_MAX = 256, INLINE_WAIT_MS = 50, EXHAUSTED_NAP_MS = 10 };

static pid_t handlers[HANDLERS_MAX];
static int handler_count;
static uint64_t started_us;
int proc_fd = -1;

static void on_child(int signal) { (void)signal; }

static int find_handler(pid_t pid) {
  for (int i = 0; i < handler_count; i++) {
    if (handlers[i] == pid) return i;
  }
  return -1;
}

// A handler is an ordinary process, so root inside can stop it (then it is woken) or kill it (then its process is adopted).
// In batches, for a sandbox can make orphans as fast as they are reaped; true when there may be more.
static bool reap_batch(void) {
  for (int reaped = 0; reaped < REAP_BATCH_MAX; reaped++) {
    int status;
    pid_t pid = waitpid(-1, &status, WNOHANG | WUNTRACED);
    if (pid <= 0) return false;
    int handler = find_handler(pid);
    if (WIFSTOPPED(status)) {
      if (handler >= 0) kill(pid, SIGCONT);
    } else if (handler >= 0) {
      handlers[handler] = handlers[--handler_count];
      procs_note_keeper_lost(pid);
    } else {
      procs_note_exit(pid, status);
    }
  }
  return true;
}

static void reply_now(int fd, struct sink *sink) {
  sink_commit(sink);
  send(fd, sink->data, sink->end, MSG_DONTWAIT | MSG_NOSIGNAL);
}

// When no handler can be forked, PID 1 itself still answers PING and KILL_ALL, so that a fork bomb can be ended from outside.
static void serve_inline(int fd, int error) {
  static struct sink sink;
  static char storage[DATA_MAX];
  struct reader reader;
  struct frame frame;
  struct pollfd ready = {.fd = fd, .events = POLLIN};
  reader_open(&reader, fd, storage, sizeof storage);
  sink_open(&sink, fd);
  bool found = poll(&ready, 1, INLINE_WAIT_MS) == 1 && reader_fill(&reader, MSG_DONTWAIT) > 0 && reader_next(&reader, &frame) == 1;
  if (found && frame.type == TYPE_PING) {
    sink_begin(&sink, TYPE_OK);
    sink_number(&sink, TAG_PID, (uint64_t)getpid());
    sink_number(&sink, TAG_UPTIME_US, now_us() - started_us);
  } else if (found && frame.type == TYPE_KILL_ALL) {
    struct message request;
    bool valid = message_decode(&request, &frame, kill_all_schema()) == 0;
    if (valid) kill(-1, (int)message_number(&request, TAG_SIGNAL, SIGKILL));
    message_free(&request);
    sink_begin(&sink, valid ? TYPE_OK : TYPE_ERROR);
    if (!valid) sink_number(&sink, TAG_ERRNO, EPROTO);
  } else {
    sink_begin(&sink, TYPE_ERROR);
    sink_number(&sink, TAG_ERRNO, (uint64_t)error);
    sink_text(&sink, TAG_CODE, "too_many");
    sink_text(&sink, TAG_MESSAGE, "no process can be made for this request");
  }
  reply_now(fd, &sink);
  if (reader.grown) free(reader.data);
}

static void take_connection(int listener) {
  int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  if (fd < 0) {
    // Out of descriptors or memory: the connection stays in the backlog, and asking again at once would only spin.
    if (errno != EINTR && errno != ECONNABORTED) poll(NULL, 0, EXHAUSTED_NAP_MS);
    return;
  }
  pid_t pid = handler_count < HANDLERS_MAX ? fork() : -1;
  if (pid == 0) {
    close(listener);
    serve(fd, started_us);
  }
  if (pid < 0) {
    serve_inline(fd, EAGAIN);
  } else {
    handlers[handler_count++] = pid;
  }
  close(fd);
}

static int listen_at(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -1;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  unlink(path);
  umask(0177);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, BACKLOG) < 0) return -1;
  umask(022);
  return fd;
}

// Descriptors 0-2 are always open, so that no descriptor of ours takes their place.
static int prepare_descriptors(void) {
  int fd;
  do {
    fd = open("/dev/null", O_RDWR);
    if (fd < 0) return -1;
  } while (fd < 3);
  close(fd);
  proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return proc_fd < 0 ? -1 : 0;
}

// Nobody waits until what an earlier life has left is removed.
static void sweep_beside(int listener) {
  if (fork() != 0) return;
  close(listener);
  stage_sweep();
  _exit(0);
}

int main(int argc, char **argv) {
  // Root inside could otherwise attach to PID 1 with ptrace.
  prctl(PR_SET_DUMPABLE, 0);
  started_us = now_us();
  for (int signal = 1; signal < NSIG; signal++) sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
  sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
  sigaction(SIGCHLD, &(struct sigaction){.sa_handler = on_child}, NULL);
  sigset_t child, none;
  sigemptyset(&none);
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_SETMASK, &child, NULL);
  if (prepare_descriptors() < 0) return 2;
  procs_open();
  int listener = listen_at(argc > 1 ? argv[1] : "/run/banyan/init.sock");
  if (listener < 0) return 3;
  // `init <socket> <root> [ro]`: no PID 1 of a slot, but the files of one directory.
  bool is_read_only = argc > 3 && strcmp(argv[3], "ro") == 0;
  if (argc > 2 && root_enter(argv[2], is_read_only) < 0) return 5;
  if (argc > 2 && !is_read_only) sweep_beside(listener);
  for (bool more = false;;) {
    // Who started a server of files holds the other end of its standard input, and it ends when they do.
    struct pollfd ready[2] = {{.fd = listener, .events = POLLIN}, {.fd = root_entered() ? 0 : -1, .events = POLLIN}};
    int count = ppoll(ready, 2, more ? &(struct timespec){0} : NULL, &none);
    more = reap_batch();
    if (count > 0 && ready[1].revents) return 0;
    if (count > 0 && ready[0].revents) take_connection(listener);
  }
}
