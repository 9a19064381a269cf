// What the parts of `init` know of each other.
#ifndef BANYAN_INIT_H
#define BANYAN_INIT_H

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/types.h>

#include "frame.h"

// What a request that fails has put in place already, and cannot take back.
struct stays {
  uint64_t files;
  char last[PATH_MAX];
};

// One connection, served by one process. The functions marked _Noreturn end that process.
struct session {
  int fd;
  struct reader reader;
  struct sink sink;
  struct message request;
  // NULL: a failure leaves nothing.
  const struct stays *stays;
};

_Noreturn void serve(int fd, uint64_t init_started_us);
const struct schema *kill_all_schema(void);
_Noreturn void fail(struct session *session, int error, const char *code, const char *message);
_Noreturn void fail_errno(struct session *session, int error, const char *what);
_Noreturn void finish(struct session *session);
// Closes after the last frame. The host may still be sending, and closing a unix socket with unread bytes can cost the peer
// the reply that is under way to it: so what still comes is read, until the host closes or the time is up.
void linger(struct session *session);
// Flushes, and ends the process when the host is gone.
void flush(struct session *session);
// Makes place for the biggest frame that may follow.
void flush_when_full(struct session *session);
// Opens a reply frame in the sink, which the caller fills and commits.
struct sink *open_frame(struct session *session, uint8_t type);
// The next frame of a request that streams; fails the session when the host is gone.
void next_frame(struct session *session, struct frame *frame);
void decode_or_fail(struct session *session, struct message *message, const struct frame *frame, uint64_t allowed, uint64_t required);
uint64_t realtime_us(void);
// A cleanup that `fail` and a lost connection run before the process ends.
extern void (*abandon)(void);

// The slot's /proc, opened before anything of a sandbox is mounted.
extern int proc_fd;

// user.c
enum { GROUPS_MAX = 64, HOME_MAX = 1024 };
struct identity {
  uid_t uid;
  gid_t gid;
  size_t group_count;
  gid_t groups[GROUPS_MAX];
  char home[HOME_MAX];
};
// 0, or a negative errno: ENOENT when there is no such user or group.
int identity_resolve(const char *user, struct identity *identity);
int identity_assume(const struct identity *identity);
// Drops to the request's USER, if it names one.
void assume_user(struct session *session);

// command.c
struct command {
  char **argv, **env;
  const char *cwd;
  const struct identity *identity;
  int stdio[3];
  bool terminal;
  int error;
  const char *code;
};
// The pid, or -1 with `error` and `code` set.
pid_t command_start(struct command *command);
void command_prepare(struct session *session, struct command *command, struct identity *identity);

// reap.c
struct child {
  pid_t pid;
  bool ended;
  int status;
};
// Makes this process the reaper of all its descendants; a descriptor that is readable when one ended or SIGUSR1 came, or -1.
int supervise(void);
// Reaps what has ended; false when no child is left.
bool reap(struct child *child);
// Signals every descendant of `root`; how many there were.
int tree_signal(pid_t root, int signal);
// Stops every descendant of `root`: what is stopped cannot fork, so their number no longer grows.
void tree_stop(pid_t root);
// Stops, then kills every descendant of this process, reaping as it goes; false when some outlived the rounds.
bool tree_kill(struct child *child);
int processes_besides(pid_t self);

// proc.c
void procs_open(void);
// PID 1 saw a process end that is not one of its handlers: maybe one whose keeper was killed before.
void procs_note_exit(pid_t pid, int status);
// A handler ended; what it kept is PID 1's from now on.
void procs_note_keeper_lost(pid_t keeper);

// root.c
// Makes `directory` the root of this process and gives up every right but those over files; -1 with errno.
int root_enter(const char *directory, bool read_only);
bool root_entered(void);
// Fails the session where its request is not for files, or writes where only reading is allowed.
void root_admit(struct session *session, uint8_t type);

void serve_exec(struct session *session);
void serve_spawn(struct session *session);
void serve_proc_list(struct session *session);
void serve_proc_read(struct session *session);
void serve_proc_stdin(struct session *session);
void serve_proc_signal(struct session *session);
void serve_proc_wait(struct session *session);
void serve_kill_all(struct session *session);
void serve_dial(struct session *session);
void serve_stat(struct session *session);
void serve_list(struct session *session);
void serve_read(struct session *session);
void serve_write(struct session *session);
void serve_mkdir(struct session *session);
void serve_move(struct session *session);
void serve_remove(struct session *session);
void serve_chmod(struct session *session);
void serve_find(struct session *session);
void serve_grep(struct session *session);
void serve_replace(struct session *session);
void serve_tree_read(struct session *session);
void serve_tree_write(struct session *session);
void serve_watch(struct session *session);

#endif
