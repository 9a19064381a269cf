// RUN: a tool of the host. A fork of this small process costs nothing; one of the runner holds up all it serves while its page tables are copied.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attach.h"

enum { OUTPUT_SHOWN_MAX = 2048, OUTPUT_MAX = 1 << 20, TIMEOUT_MS_DEFAULT = 10000, NOT_RUN = 127 };

static int memory_file(struct task *task) {
  int fd = memfd_create("tool", MFD_CLOEXEC);
  if (fd < 0) task_fail(task, "memory file", errno);
  return fd;
}

static void write_input(struct task *task, int input) {
  const struct message *request = &task->request;
  for (uint32_t i = 0; i < request->count; i++) {
    const struct field *field = &request->fields[i];
    if (field->tag == TAG_DATA && write_all(input, field->bytes, field->length) < 0) task_fail(task, "input", errno);
  }
  lseek(input, 0, SEEK_SET);
}

_Noreturn static void become_tool(char **argv, int input, int output, rlim_t file_bytes_max) {
  sigset_t none;
  sigemptyset(&none);
  for (int i = 1; i < NSIG; i++) sigaction(i, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
  sigprocmask(SIG_SETMASK, &none, NULL);
  setpgid(0, 0);
  // The soft limit alone: a tool that leaves a slot running lifts it again, and a hard one could be lifted only with CAP_SYS_RESOURCE.
  struct rlimit file_bytes;
  if (getrlimit(RLIMIT_FSIZE, &file_bytes) < 0) _exit(NOT_RUN);
  if (file_bytes.rlim_max > file_bytes_max) file_bytes.rlim_cur = file_bytes_max;
  if (setrlimit(RLIMIT_FSIZE, &file_bytes) < 0) _exit(NOT_RUN);
  if (dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0) _exit(NOT_RUN);
  execvp(argv[0], argv);
  dprintf(2, "%s: %s", argv[0], strerror(errno));
  _exit(NOT_RUN);
}

// SIGCHLD is blocked here, so none is lost between a look and the wait for the next.
static int wait_for_tool(struct task *task, pid_t tool, int *status) {
  uint64_t deadline_us = now_us() + message_number(&task->request, TAG_TIMEOUT_MS, TIMEOUT_MS_DEFAULT) * 1000;
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  while (waitpid(tool, status, WNOHANG) != tool) {
    uint64_t now = now_us();
    if (now >= deadline_us) {
      kill(-tool, SIGKILL);
      kill(tool, SIGKILL);
      waitpid(tool, status, 0);
      return -ETIMEDOUT;
    }
    uint64_t left_us = deadline_us - now;
    sigtimedwait(&child, NULL, &(struct timespec){.tv_sec = (time_t)(left_us / 1000000), .tv_nsec = (long)(left_us % 1000000) * 1000});
  }
  return 0;
}

void serve_run(struct task *task) {
  static char shown[OUTPUT_SHOWN_MAX];
  char **argv = message_texts(&task->request, TAG_ARGV, 0);
  if (!argv) task_fail(task, "arguments", ENOMEM);
  int input = memory_file(task), output = memory_file(task);
  write_input(task, input);
  pid_t tool = fork();
  if (tool < 0) task_fail(task, "fork", errno);
  if (tool == 0) become_tool(argv, input, output, OUTPUT_MAX);
  int status = 0, error = wait_for_tool(task, tool, &status);
  if (error) task_fail(task, "tool", -error);
  ssize_t got = pread(output, shown, sizeof shown, 0);
  task_reply(task);
  sink_number(&task->sink, TAG_CODE, WIFEXITED(status) ? (uint64_t)WEXITSTATUS(status) : 128 + (uint64_t)WTERMSIG(status));
  sink_bytes(&task->sink, TAG_DATA, shown, got > 0 ? (size_t)got : 0);
}

int run_tool_quietly(struct task *task) {
  char **argv = message_texts(&task->request, TAG_ARGV, 0);
  int nothing = open("/dev/null", O_RDWR | O_CLOEXEC), status = 0;
  if (!argv || !argv[0] || nothing < 0) return -EINVAL;
  pid_t tool = fork();
  if (tool < 0) return -errno;
  if (tool == 0) become_tool(argv, nothing, nothing, RLIM_INFINITY);
  int error = wait_for_tool(task, tool, &status);
  return error ? error : WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}
