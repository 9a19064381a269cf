// The table of background processes, in memory that PID 1 and all handlers share.
#ifndef BANYAN_PROC_H
#define BANYAN_PROC_H

#include "init.h"

// Who may change an entry and what it holds are one word, so that taking an entry is one atomic step and the
// death of its owner at any moment leaves a state that PID 1 can clear up.
enum { PROC_FREE = 0, PROC_CLAIMED = 3 };

struct proc {
  _Atomic uint32_t version;
  _Atomic bool closes_stdin;
  pid_t pid;
  char id[PROC_ID_MAX + 1];
  int code, signal;
  uint64_t flags, started_us, ended_us, out_bytes, err_bytes;
};

// A free entry, now claimed by this process, or -1 with EEXIST or ENOSPC.
int proc_claim(const char *id);
void proc_release(int index);
void proc_publish_running(int index);
void proc_publish_exit(int index, int status);
struct proc *proc_at(int index);
bool proc_id_valid(const char *id);
// /.banyan/proc/<ID>, never through a symlink; -1 with errno.
int proc_open_directory(const char *id, bool create);
void proc_remove_directory(const char *id);
// The index and a copy of the entry with its state and keeper (0: PID 1), or -1.
int proc_find(const char *id, struct proc *copy, uint32_t *state, pid_t *keeper);

#endif
