// Starts a command the cheap way: a child that shares our memory until it executes, so that no page table is copied.
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CHILD_STACK_BYTES = 64 * 1024 };

static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

static int stop_at(struct command *command, const char *code) {
  command->error = errno;
  command->code = code;
  return 127;
}

static const char *environment_value(char **env, const char *name) {
  size_t length = strlen(name);
  for (; *env; env++) {
    if (strncmp(*env, name, length) == 0 && (*env)[length] == '=') return *env + length + 1;
  }
  return NULL;
}

// As execvp does it, but in the environment of the command. EACCES outlives a later ENOENT: it tells more.
static void execute(struct command *command) {
  const char *name = command->argv[0];
  errno = ENOENT;
  if (!*name) return;
  if (strchr(name, '/')) {
    execve(name, command->argv, command->env);
    return;
  }
  const char *path = environment_value(command->env, "PATH");
  if (!path) path = default_path;
  int error = ENOENT;
  char candidate[PATH_MAX];
  for (const char *end; path; path = *end ? end + 1 : NULL) {
    end = strchrnul(path, ':');
    int directory = end == path ? 1 : (int)(end - path);
    int length = snprintf(candidate, sizeof candidate, "%.*s/%s", directory, end == path ? "." : path, name);
    if (length < 0 || length >= (int)sizeof candidate) continue;
    execve(candidate, command->argv, command->env);
    if (errno == EACCES) error = EACCES;
    if (errno != EACCES && errno != ENOENT && errno != ENOTDIR) return;
  }
  errno = error;
}

// The handler's protection from the OOM killer is not for what it starts.
static void reset_oom_score(void) {
  int fd = openat(proc_fd, "self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (write(fd, "0", 1) < 0) errno = 0;
  close(fd);
}

static int child_main(void *argument) {
  struct command *command = argument;
  reset_oom_score();
  setsid();
  for (int fd = 0; fd < 3; fd++) {
    if (dup2(command->stdio[fd], fd) < 0) return stop_at(command, "errno");
  }
  if (command->terminal && ioctl(0, TIOCSCTTY, 0) < 0) return stop_at(command, "errno");
  sigset_t none;
  sigemptyset(&none);
  sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
  sigprocmask(SIG_SETMASK, &none, NULL);
  umask(022);
  if (command->identity && identity_assume(command->identity) < 0) return stop_at(command, "errno");
  if (chdir(command->cwd) < 0) return stop_at(command, "bad_cwd");
  syscall(SYS_close_range, 3U, ~0U, 0U);
  execute(command);
  bool missing = errno == ENOENT || errno == ENOTDIR;
  bool refused = errno == EACCES || errno == ENOEXEC || errno == EISDIR || errno == EPERM;
  return stop_at(command, missing ? "not_found" : refused ? "not_executable" : "errno");
}

// Signals stay blocked in the child until its handlers are those of the command; CLONE_VFORK holds us until it has executed or failed.
pid_t command_start(struct command *command) {
  static _Alignas(16) char stack[CHILD_STACK_BYTES];
  command->error = 0;
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  pid_t pid = clone(child_main, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, command);
  if (pid < 0) stop_at(command, errno == EAGAIN ? "too_many" : "errno");
  sigprocmask(SIG_SETMASK, &before, NULL);
  return command->error ? -1 : pid;
}

static char *home_variable(const struct identity *identity) {
  size_t size = sizeof "HOME=" + strlen(identity->home);
  char *variable = malloc(size);
  if (variable) snprintf(variable, size, "HOME=%s", identity->home);
  return variable;
}

// Fills in argv, env, cwd and identity from the request; `identity` lives as long as the command's start.
void command_prepare(struct session *session, struct command *command, struct identity *identity) {
  const struct message *request = &session->request;
  command->argv = message_texts(request, TAG_ARGV, 0);
  command->env = message_texts(request, TAG_ENV, 1);
  if (!command->argv || !command->env) fail_errno(session, ENOMEM, "arguments");
  for (char **env = command->env; *env; env++) {
    if (!strchr(*env, '=')) fail(session, EINVAL, "bad_request", "an environment entry has no '='");
  }
  command->cwd = message_text(request, TAG_CWD, "/");
  const char *user = message_text(request, TAG_USER, NULL);
  bool wants_home = !environment_value(command->env, "HOME");
  if (!user && !wants_home) return;
  int error = identity_resolve(user ? user : "0", identity);
  if (error) fail(session, -error, "no_such_user", "no such user or group");
  if (user) command->identity = identity;
  if (!wants_home) return;
  char **end = command->env;
  while (*end) end++;
  end[0] = home_variable(identity);
  end[1] = NULL;
}
