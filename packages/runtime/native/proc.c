#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct table {
  _Atomic uint32_t used;
  _Atomic uint32_t adopted;
  // Apart from the entries: PID 1 looks through them whenever a handler ends.
  _Atomic uint64_t owners[PROCS_MAX];
  struct proc procs[PROCS_MAX];
} *table;

static uint64_t owned(uint32_t state, pid_t keeper) { return state | (uint64_t)(uint32_t)keeper << 32; }
static uint32_t state_of(uint64_t owner) { return (uint32_t)owner; }
static pid_t keeper_of(uint64_t owner) { return (pid_t)(owner >> 32); }

void procs_open(void) {
  table = mmap(NULL, sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (table == MAP_FAILED) _exit(4);
}

struct proc *proc_at(int index) { return &table->procs[index]; }

bool proc_id_valid(const char *id) {
  static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
  size_t length = strlen(id);
  return length > 0 && length <= PROC_ID_MAX && strspn(id, allowed) == length;
}

static int open_or_make(int parent, const char *name, bool create) {
  if (create && mkdirat(parent, name, 0700) < 0 && errno != EEXIST) return -1;
  return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int proc_open_directory(const char *id, bool create) {
  const char *names[] = {".banyan", "proc", id};
  int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (int i = 0; i < 3 && fd >= 0; i++) {
    int next = open_or_make(fd, names[i], create);
    int error = errno;
    close(fd);
    errno = error;
    fd = next;
  }
  return fd;
}

void proc_remove_directory(const char *id) {
  int fd = proc_open_directory(id, false);
  if (fd < 0) return;
  unlinkat(fd, "out", 0);
  unlinkat(fd, "err", 0);
  unlinkat(fd, "in", 0);
  char name[sizeof "../" + PROC_ID_MAX];
  snprintf(name, sizeof name, "../%s", id);
  unlinkat(fd, name, AT_REMOVEDIR);
  close(fd);
}

static bool take(int index, uint32_t from_state) {
  uint64_t before = atomic_load(&table->owners[index]);
  return state_of(before) == from_state && atomic_compare_exchange_strong(&table->owners[index], &before, owned(PROC_CLAIMED, getpid()));
}

static int oldest_ended(void) {
  int oldest = -1;
  for (int i = 0; i < PROCS_MAX; i++) {
    if (state_of(atomic_load(&table->owners[i])) != STATE_EXITED) continue;
    if (oldest < 0 || table->procs[i].ended_us < table->procs[oldest].ended_us) oldest = i;
  }
  return oldest;
}

static int take_any(void) {
  for (int i = 0; i < PROCS_MAX; i++) {
    if (take(i, PROC_FREE)) return i;
  }
  // Another handler may take the same one first; then there is a next.
  for (int tries = 0; tries < PROCS_MAX; tries++) {
    int oldest = oldest_ended();
    if (oldest < 0) return -1;
    if (!take(oldest, STATE_EXITED)) continue;
    proc_remove_directory(table->procs[oldest].id);
    return oldest;
  }
  return -1;
}

static bool id_taken(const char *id, int except) {
  for (int i = 0; i < PROCS_MAX; i++) {
    bool used = i != except && state_of(atomic_load(&table->owners[i])) != PROC_FREE;
    if (used && strcmp(table->procs[i].id, id) == 0) return true;
  }
  return false;
}

int proc_claim(const char *id) {
  int index = take_any();
  if (index < 0) {
    errno = ENOSPC;
    return -1;
  }
  for (uint32_t used = atomic_load(&table->used); used < (uint32_t)index + 1;) {
    if (atomic_compare_exchange_weak(&table->used, &used, (uint32_t)index + 1)) break;
  }
  struct proc *proc = &table->procs[index];
  atomic_fetch_add(&proc->version, 1);
  atomic_store(&proc->closes_stdin, false);
  proc->pid = 0;
  proc->code = proc->signal = 0;
  proc->flags = proc->started_us = proc->ended_us = proc->out_bytes = proc->err_bytes = 0;
  strcpy(proc->id, id);
  // Two claims of one id both see the other here, so at most one of them goes on.
  if (id_taken(id, index)) {
    proc_release(index);
    errno = EEXIST;
    return -1;
  }
  proc_remove_directory(id);
  return index;
}

void proc_release(int index) {
  table->procs[index].id[0] = 0;
  atomic_store(&table->owners[index], PROC_FREE);
}

void proc_publish_running(int index) { atomic_store(&table->owners[index], owned(STATE_RUNNING, getpid())); }

// The sizes are kept from here on, and the touch wakes who follows the output.
void proc_publish_exit(int index, int status) {
  struct proc *proc = &table->procs[index];
  proc->ended_us = realtime_us();
  proc->code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
  proc->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  uint64_t before = atomic_load(&table->owners[index]);
  atomic_store(&table->owners[index], owned(STATE_EXITED, keeper_of(before)));
}

void procs_note_keeper_lost(pid_t keeper) {
  for (uint32_t i = 0; i < atomic_load(&table->used); i++) {
    uint64_t owner = atomic_load(&table->owners[i]);
    if (keeper_of(owner) != keeper) continue;
    if (state_of(owner) == PROC_CLAIMED) proc_release((int)i);
    if (state_of(owner) == STATE_EXITED) atomic_store(&table->owners[i], owned(STATE_EXITED, 0));
    if (state_of(owner) != STATE_RUNNING) continue;
    // Ours now if it still lives; if its keeper had reaped it already, nobody knows how it ended.
    atomic_store(&table->owners[i], owned(STATE_RUNNING, 0));
    siginfo_t info;
    if (waitid(P_PID, (id_t)table->procs[i].pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0) proc_publish_exit((int)i, SIGKILL);
    else atomic_fetch_add(&table->adopted, 1);
  }
}

void procs_note_exit(pid_t pid, int status) {
  if (atomic_load(&table->adopted) == 0) return;
  for (uint32_t i = 0; i < atomic_load(&table->used); i++) {
    if (atomic_load(&table->owners[i]) != owned(STATE_RUNNING, 0) || table->procs[i].pid != pid) continue;
    atomic_fetch_sub(&table->adopted, 1);
    proc_publish_exit((int)i, status);
  }
}

// A copy that no owner changed while it was taken; false when there is none to see.
static bool snapshot(int index, struct proc *copy, uint64_t *owner) {
  struct proc *proc = &table->procs[index];
  uint32_t version = atomic_load(&proc->version);
  *owner = atomic_load(&table->owners[index]);
  bool shown = state_of(*owner) == STATE_RUNNING || state_of(*owner) == STATE_EXITED;
  memcpy(copy, proc, sizeof *copy);
  return shown && atomic_load(&proc->version) == version && state_of(atomic_load(&table->owners[index])) == state_of(*owner);
}

int proc_find(const char *id, struct proc *copy, uint32_t *state, pid_t *keeper) {
  for (uint32_t i = 0; i < atomic_load(&table->used); i++) {
    uint64_t owner;
    // An entry that changes while it is read is read once more: it changes at most twice in its life.
    bool seen = snapshot((int)i, copy, &owner) || snapshot((int)i, copy, &owner);
    if (!seen || strcmp(copy->id, id) != 0) continue;
    *state = state_of(owner);
    *keeper = keeper_of(owner);
    return (int)i;
  }
  return -1;
}

static uint64_t file_size(const char *id, const char *name) {
  struct stat stat;
  int directory = proc_open_directory(id, false);
  bool found = directory >= 0 && fstatat(directory, name, &stat, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(stat.st_mode);
  if (directory >= 0) close(directory);
  return found ? (uint64_t)stat.st_size : 0;
}

void serve_proc_list(struct session *session) {
  struct sink *sink = &session->sink;
  for (uint32_t i = 0; i < atomic_load(&table->used); i++) {
    struct proc copy;
    uint64_t owner;
    if (!snapshot((int)i, &copy, &owner) && !snapshot((int)i, &copy, &owner)) continue;
    bool running = state_of(owner) == STATE_RUNNING;
      open_frame(session, TYPE_ENTRY);
    sink_text(sink, TAG_ID, copy.id);
    sink_number(sink, TAG_PID, (uint64_t)copy.pid);
    sink_number(sink, TAG_STATE, state_of(owner));
    sink_number(sink, TAG_FLAGS, copy.flags);
    sink_number(sink, TAG_STARTED_US, copy.started_us);
    if (!running) {
      sink_number(sink, TAG_ENDED_US, copy.ended_us);
      sink_number(sink, copy.signal ? TAG_SIGNAL : TAG_CODE, (uint64_t)(copy.signal ? copy.signal : copy.code));
    }
    sink_number(sink, TAG_OUT_BYTES, running ? file_size(copy.id, "out") : copy.out_bytes);
    sink_number(sink, TAG_ERR_BYTES, running ? file_size(copy.id, "err") : copy.err_bytes);
    sink_commit(sink);
  }
  open_frame(session, TYPE_OK);
  sink_commit(sink);
}

void serve_kill_all(struct session *session) {
  int signal = (int)message_number(&session->request, TAG_SIGNAL, SIGKILL);
  uint64_t until_us = now_us() + message_number(&session->request, TAG_TIMEOUT_MS, 0) % INT_MAX * 1000;
  if (kill(-1, signal) < 0 && errno != ESRCH) fail_errno(session, errno, "kill");
  int left = processes_besides(getpid());
  while (left > 0 && now_us() < until_us) {
    usleep(500);
    if (signal == SIGKILL) kill(-1, signal);
    left = processes_besides(getpid());
  }
  struct sink *sink = open_frame(session, TYPE_OK);
  sink_number(sink, TAG_SIZE, (uint64_t)left);
  sink_commit(sink);
}
