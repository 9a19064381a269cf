// The process tree below one handler. A handler is a subreaper, so whatever a command leaves behind stays below it.
#include "init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STAT_BYTES = 512, PROCESSES_MAX = 65536, STOP_ROUNDS_MAX = 16, KILL_ROUNDS_MAX = 500, KILL_ROUND_MS = 10 };

struct process {
  pid_t pid, parent;
  bool below;
};

int supervise(void) {
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigaddset(&child, SIGUSR1);
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || sigprocmask(SIG_BLOCK, &child, NULL) < 0) return -1;
  return signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
}

bool reap(struct child *child) {
  int status;
  for (;;) {
    pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid == 0) return true;
    if (pid < 0) return false;
    if (pid != child->pid) continue;
    child->ended = true;
    child->status = status;
  }
}

// The name in the second column may hold anything, so the parent is read after the last parenthesis.
static pid_t read_parent(const char *pid) {
  char path[64], text[STAT_BYTES];
  snprintf(path, sizeof path, "%.16s/stat", pid);
  int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t got = read(fd, text, sizeof text - 1);
  close(fd);
  if (got <= 0) return -1;
  text[got] = 0;
  const char *after = strrchr(text, ')');
  if (!after || strlen(after) < 5) return -1;
  return (pid_t)strtol(after + 4, NULL, 10);
}

// Every process of the sandbox; NULL without memory.
static struct process *list_processes(int *count) {
  *count = 0;
  int fd = openat(proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *directory = fd < 0 ? NULL : fdopendir(fd);
  if (!directory) {
    if (fd >= 0) close(fd);
    return NULL;
  }
  int capacity = 0;
  struct process *list = NULL;
  for (struct dirent *entry; (entry = readdir(directory)) && *count < PROCESSES_MAX;) {
    if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
    if (*count == capacity) {
      capacity = capacity ? capacity * 2 : 64;
      struct process *grown = realloc(list, (size_t)capacity * sizeof *list);
      if (!grown) break;
      list = grown;
    }
    list[(*count)++] = (struct process){.pid = (pid_t)strtol(entry->d_name, NULL, 10), .parent = read_parent(entry->d_name)};
  }
  closedir(directory);
  return list;
}

static int by_pid(const void *a, const void *b) {
  const struct process *left = a, *right = b;
  return (left->pid > right->pid) - (left->pid < right->pid);
}

// Marks all that descend from `root`. A parent can have a higher pid than its child, so it goes on until nothing changes.
static void mark_below(struct process *list, int count, pid_t root) {
  qsort(list, (size_t)count, sizeof *list, by_pid);
  for (bool changed = true; changed;) {
    changed = false;
    for (int i = 0; i < count; i++) {
      if (list[i].below) continue;
      struct process key = {.pid = list[i].parent};
      struct process *parent = bsearch(&key, list, (size_t)count, sizeof *list, by_pid);
      if (list[i].parent != root && !(parent && parent->below)) continue;
      list[i].below = changed = true;
    }
  }
}

int tree_signal(pid_t root, int signal) {
  int count, hit = 0;
  struct process *list = list_processes(&count);
  if (!list) return 0;
  mark_below(list, count, root);
  for (int i = 0; i < count; i++) {
    if (!list[i].below) continue;
    hit++;
    kill(list[i].pid, signal);
  }
  free(list);
  return hit;
}

int processes_besides(pid_t self) {
  int count, others = 0;
  struct process *list = list_processes(&count);
  for (int i = 0; i < count; i++) others += list[i].pid != 1 && list[i].pid != self;
  free(list);
  return others;
}

static void wait_for_child(int wait_ms) {
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigtimedwait(&child, NULL, &(struct timespec){.tv_nsec = wait_ms * 1000000L});
}

void tree_stop(pid_t root) {
  for (int round = 0, last = -1; round < STOP_ROUNDS_MAX; round++) {
    int count = tree_signal(root, SIGSTOP);
    if (count == last) break;
    last = count;
  }
}

bool tree_kill(struct child *child) {
  pid_t self = getpid();
  if (!reap(child)) return true;
  tree_stop(self);
  for (int round = 0; round < KILL_ROUNDS_MAX; round++) {
    tree_signal(self, SIGKILL);
    if (!reap(child)) return true;
    wait_for_child(KILL_ROUND_MS);
    if (!reap(child)) return true;
  }
  return false;
}
