// The host's helper: one request, one forked child, for a mount namespace is entered only by a process that shares its root with nobody.
#include "attach.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TASKS_MAX = 256, STEP_BYTES_MAX = 512, READER_BYTES = FRAME_HEADER_BYTES + DATA_MAX };

#define B TAG_BIT

static const uint8_t kinds[TAG_MAX + 1] = {
    [TAG_ID] = KIND_NUMBER,    [TAG_PID] = KIND_NUMBER, [TAG_STARTTIME] = KIND_NUMBER, [TAG_FLAGS] = KIND_NUMBER,
    [TAG_LIMIT] = KIND_NUMBER, [TAG_PATH] = KIND_TEXT,  [TAG_TIMEOUT_MS] = KIND_NUMBER, [TAG_HOSTNAME] = KIND_TEXT,
    [TAG_LOWER] = KIND_TEXT,   [TAG_UPPER] = KIND_TEXT, [TAG_WORK] = KIND_TEXT,        [TAG_SEED] = KIND_BYTES,
    [TAG_CGROUP] = KIND_BYTES, [TAG_ARGV] = KIND_TEXT,  [TAG_DATA] = KIND_BYTES,
    [TAG_TO] = KIND_TEXT,      [TAG_FREEZER] = KIND_TEXT, [TAG_BLANK] = KIND_TEXT,
    [TAG_VOLUME] = KIND_BYTES, [TAG_MOUNT_ID] = KIND_NUMBER,
};

static const struct operation {
  void (*run)(struct task *task);
  uint64_t allowed, required;
} operations[] = {
    [ATTACH_ATTACH] = {serve_attach,
                       B(TAG_PID) | B(TAG_STARTTIME) | B(TAG_LOWER) | B(TAG_UPPER) | B(TAG_WORK) | B(TAG_HOSTNAME) | B(TAG_SEED) |
                           B(TAG_CGROUP) | B(TAG_FLAGS) | B(TAG_VOLUME),
                       B(TAG_PID) | B(TAG_STARTTIME) | B(TAG_LOWER) | B(TAG_UPPER) | B(TAG_WORK)},
    [ATTACH_KILL] = {serve_kill, B(TAG_PID) | B(TAG_STARTTIME) | B(TAG_TIMEOUT_MS), B(TAG_PID) | B(TAG_STARTTIME)},
    [ATTACH_DISK_CREATE] = {serve_disk_create, B(TAG_PATH) | B(TAG_LIMIT) | B(TAG_FLAGS) | B(TAG_BLANK), B(TAG_PATH)},
    [ATTACH_DISK_DELETE] = {serve_disk_delete, B(TAG_PATH), B(TAG_PATH)},
    [ATTACH_DISK_LIMIT] = {serve_disk_limit, B(TAG_PATH) | B(TAG_LIMIT), B(TAG_PATH) | B(TAG_LIMIT)},
    [ATTACH_CGROUP] = {serve_cgroup, B(TAG_CGROUP), B(TAG_CGROUP)},
    [ATTACH_DISK_ENABLE] = {serve_disk_enable, B(TAG_PATH), B(TAG_PATH)},
    [ATTACH_DISK_USAGE] = {serve_disk_usage, B(TAG_PATH), B(TAG_PATH)},
    [ATTACH_FREEZE] = {serve_freeze, B(TAG_PATH) | B(TAG_TO) | B(TAG_FREEZER) | B(TAG_FLAGS) | B(TAG_ARGV) | B(TAG_TIMEOUT_MS), 0},
    [ATTACH_MOUNT] = {serve_mount,
                      B(TAG_PID) | B(TAG_STARTTIME) | B(TAG_VOLUME) | B(TAG_LOWER) | B(TAG_UPPER) | B(TAG_FLAGS),
                      B(TAG_PID) | B(TAG_STARTTIME) | B(TAG_VOLUME)},
    [ATTACH_UNMOUNT] = {serve_unmount, B(TAG_PID) | B(TAG_STARTTIME) | B(TAG_MOUNT_ID) | B(TAG_FLAGS),
                        B(TAG_PID) | B(TAG_STARTTIME) | B(TAG_MOUNT_ID)},
    [ATTACH_RUN] = {serve_run, B(TAG_ARGV) | B(TAG_DATA) | B(TAG_TIMEOUT_MS), B(TAG_ARGV)},
};

static struct running {
  pid_t pid;
  uint64_t id;
} running[TASKS_MAX];
static int running_count;
static struct task task;

static void on_child(int signal) { (void)signal; }

// One write of at most REPLY_MAX bytes, so that replies of several children never mix.
_Noreturn static void send_reply(struct task *task) {
  sink_commit(&task->sink);
  ssize_t put = write(STDOUT_FILENO, task->sink.data, task->sink.end);
  _exit(put == (ssize_t)task->sink.end ? 0 : 1);
}

static void compose_failure(struct task *task, const char *step, int error, const char *message) {
  // A step can be a path, and a reply has its bound.
  char shown[STEP_BYTES_MAX];
  snprintf(shown, sizeof shown, "%s%s%s", step, task->place ? " at " : "", task->place ? task->place : "");
  sink_open(&task->sink, STDOUT_FILENO);
  sink_begin(&task->sink, TYPE_ERROR);
  sink_number(&task->sink, TAG_ID, task->id);
  sink_number(&task->sink, TAG_ERRNO, (uint64_t)error);
  sink_text(&task->sink, TAG_STEP, shown);
  sink_text(&task->sink, TAG_MESSAGE, message);
}

void task_fail(struct task *task, const char *step, int error) {
  compose_failure(task, step, error, strerror(error));
  send_reply(task);
}

void task_reply(struct task *task) {
  sink_open(&task->sink, STDOUT_FILENO);
  sink_begin(&task->sink, TYPE_OK);
  sink_number(&task->sink, TAG_ID, task->id);
}

void task_done(struct task *task) { send_reply(task); }

// A child that ended by a signal has not replied, so the parent does.
static void collect(pid_t pid, int status) {
  for (int i = 0; i < running_count; i++) {
    if (running[i].pid != pid) continue;
    task.id = running[i].id;
    running[i] = running[--running_count];
    if (!WIFSIGNALED(status)) return;
    compose_failure(&task, "task", EIO, "the task was killed");
    sink_commit(&task.sink);
    if (write(STDOUT_FILENO, task.sink.data, task.sink.end) < 0) _exit(1);
    return;
  }
}

static void collect_tasks(int most_running) {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, running_count > most_running ? 0 : WNOHANG)) > 0) collect(pid, status);
}

_Noreturn static void run_task(const struct frame *frame) {
  static const struct schema any_id = {.kinds = kinds, .allowed = UINT64_MAX, .repeated = UINT64_MAX};
  const struct operation *operation = frame->type < sizeof operations / sizeof *operations ? &operations[frame->type] : NULL;
  struct schema schema = any_id;
  if (operation && operation->run) {
    schema.allowed = operation->allowed | B(TAG_ID);
    schema.required = operation->required | B(TAG_ID);
    schema.repeated = B(TAG_LOWER) | B(TAG_SEED) | B(TAG_CGROUP) | B(TAG_ARGV) | B(TAG_VOLUME);
  }
  int error = message_decode(&task.request, frame, &schema);
  task.id = message_number(&task.request, TAG_ID, 0);
  if (!operation || !operation->run) task_fail(&task, "request type", EPROTO);
  if (error) task_fail(&task, task.request.problem, -error);
  operation->run(&task);
  task_done(&task);
}

static uint64_t peek_id(const struct frame *frame) {
  // Clients put ID first; one that does not only loses the reply for a killed task.
  static const char first[5] = {TAG_ID, 8};
  uint64_t id = 0;
  if (frame->length >= 13 && memcmp(frame->payload, first, sizeof first) == 0) memcpy(&id, frame->payload + 5, sizeof id);
  return le64toh(id);
}

static void start_task(const struct frame *frame) {
  collect_tasks(TASKS_MAX - 1);
  task.started_us = now_us();
  task.id = peek_id(frame);
  pid_t pid = fork();
  if (pid == 0) run_task(frame);
  if (pid > 0) {
    running[running_count++] = (struct running){.pid = pid, .id = task.id};
    return;
  }
  compose_failure(&task, "fork", errno, strerror(errno));
  sink_commit(&task.sink);
  if (write(STDOUT_FILENO, task.sink.data, task.sink.end) < 0) _exit(1);
}

int main(void) {
  static char storage[READER_BYTES];
  struct reader reader;
  sigset_t child, none;
  sigemptyset(&none);
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_SETMASK, &child, NULL);
  sigaction(SIGCHLD, &(struct sigaction){.sa_handler = on_child}, NULL);
  sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
  // A terminal's Ctrl-C reaches the whole group; the runner decides when this ends, by closing the input.
  sigaction(SIGINT, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
  reader_open(&reader, STDIN_FILENO, storage, sizeof storage);
  for (ssize_t got = 1; got > 0;) {
    struct pollfd ready = {.fd = STDIN_FILENO, .events = POLLIN};
    int count = ppoll(&ready, 1, NULL, &none);
    collect_tasks(TASKS_MAX);
    if (count <= 0) continue;
    got = reader_fill(&reader, 0);
    struct frame frame;
    int found;
    while ((found = reader_next(&reader, &frame)) == 1) start_task(&frame);
    if (found < 0) return 1;
  }
  while (running_count > 0) collect_tasks(0);
  return 0;
}
