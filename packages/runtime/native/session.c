// One connection: which requests there are, what each may hold, and how a handler answers and ends.
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

enum { LINGER_MS = 2000, READER_BYTES = FRAME_HEADER_BYTES + DATA_MAX };

#define B TAG_BIT

static const uint8_t kinds[TAG_MAX + 1] = {
    [TAG_ARGV] = KIND_TEXT,       [TAG_ENV] = KIND_TEXT,      [TAG_CWD] = KIND_TEXT,      [TAG_USER] = KIND_TEXT,
    [TAG_TIMEOUT_MS] = KIND_NUMBER, [TAG_FLAGS] = KIND_NUMBER, [TAG_ROWS] = KIND_NUMBER,  [TAG_COLS] = KIND_NUMBER,
    [TAG_OUTPUT_MAX] = KIND_NUMBER, [TAG_ID] = KIND_TEXT,     [TAG_STREAM] = KIND_NUMBER, [TAG_OFFSET] = KIND_NUMBER,
    [TAG_SIGNAL] = KIND_NUMBER,   [TAG_PATH] = KIND_TEXT,     [TAG_TO] = KIND_TEXT,       [TAG_TYPE] = KIND_TEXT,
    [TAG_MODE] = KIND_NUMBER,     [TAG_SIZE] = KIND_NUMBER,   [TAG_MTIME_NS] = KIND_NUMBER, [TAG_UID] = KIND_NUMBER,
    [TAG_GID] = KIND_NUMBER,      [TAG_LINK] = KIND_TEXT,     [TAG_GLOB] = KIND_TEXT,     [TAG_PATTERN] = KIND_TEXT,
    [TAG_LIMIT] = KIND_NUMBER,    [TAG_DEPTH] = KIND_NUMBER,  [TAG_PORT] = KIND_NUMBER,   [TAG_LENGTH] = KIND_NUMBER,
};

static void serve_ping(struct session *session);

static const struct operation {
  void (*run)(struct session *session);
  uint64_t allowed, required, repeated;
} operations[] = {
    [TYPE_PING] = {serve_ping, 0, 0, 0},
    [TYPE_EXEC] = {serve_exec,
                   B(TAG_ARGV) | B(TAG_ENV) | B(TAG_CWD) | B(TAG_USER) | B(TAG_TIMEOUT_MS) | B(TAG_FLAGS) | B(TAG_ROWS) | B(TAG_COLS) |
                       B(TAG_OUTPUT_MAX),
                   B(TAG_ARGV), B(TAG_ARGV) | B(TAG_ENV)},
    [TYPE_SPAWN] = {serve_spawn, B(TAG_ID) | B(TAG_ARGV) | B(TAG_ENV) | B(TAG_CWD) | B(TAG_USER) | B(TAG_TIMEOUT_MS) | B(TAG_FLAGS),
                    B(TAG_ID) | B(TAG_ARGV), B(TAG_ARGV) | B(TAG_ENV)},
    [TYPE_PROC_LIST] = {serve_proc_list, 0, 0, 0},
    [TYPE_PROC_READ] = {serve_proc_read, B(TAG_ID) | B(TAG_STREAM) | B(TAG_OFFSET) | B(TAG_LENGTH) | B(TAG_FLAGS),
                        B(TAG_ID) | B(TAG_STREAM), 0},
    [TYPE_PROC_STDIN] = {serve_proc_stdin, B(TAG_ID), B(TAG_ID), 0},
    [TYPE_PROC_SIGNAL] = {serve_proc_signal, B(TAG_ID) | B(TAG_SIGNAL) | B(TAG_FLAGS), B(TAG_ID) | B(TAG_SIGNAL), 0},
    [TYPE_PROC_WAIT] = {serve_proc_wait, B(TAG_ID) | B(TAG_TIMEOUT_MS), B(TAG_ID), 0},
    [TYPE_KILL_ALL] = {serve_kill_all, B(TAG_SIGNAL) | B(TAG_TIMEOUT_MS), 0, 0},
    [TYPE_DIAL] = {serve_dial, B(TAG_PORT), B(TAG_PORT), 0},
    [TYPE_STAT] = {serve_stat, B(TAG_USER) | B(TAG_PATH) | B(TAG_FLAGS), B(TAG_PATH), 0},
    [TYPE_LIST] = {serve_list, B(TAG_USER) | B(TAG_PATH) | B(TAG_FLAGS) | B(TAG_OFFSET) | B(TAG_LIMIT), B(TAG_PATH), 0},
    [TYPE_READ] = {serve_read, B(TAG_USER) | B(TAG_PATH) | B(TAG_FLAGS) | B(TAG_OFFSET) | B(TAG_LENGTH), B(TAG_PATH), 0},
    [TYPE_WRITE] = {serve_write, B(TAG_USER) | B(TAG_PATH) | B(TAG_MODE) | B(TAG_FLAGS) | B(TAG_OFFSET) | B(TAG_SIZE), B(TAG_PATH), 0},
    [TYPE_MKDIR] = {serve_mkdir, B(TAG_USER) | B(TAG_PATH) | B(TAG_MODE) | B(TAG_FLAGS), B(TAG_PATH), 0},
    [TYPE_MOVE] = {serve_move, B(TAG_USER) | B(TAG_PATH) | B(TAG_TO) | B(TAG_FLAGS), B(TAG_PATH) | B(TAG_TO), 0},
    [TYPE_REMOVE] = {serve_remove, B(TAG_USER) | B(TAG_PATH) | B(TAG_FLAGS), B(TAG_PATH), 0},
    [TYPE_CHMOD] = {serve_chmod, B(TAG_USER) | B(TAG_PATH) | B(TAG_MODE) | B(TAG_UID) | B(TAG_GID) | B(TAG_MTIME_NS) | B(TAG_FLAGS), B(TAG_PATH), 0},
    [TYPE_FIND] = {serve_find, B(TAG_USER) | B(TAG_PATH) | B(TAG_GLOB) | B(TAG_LIMIT) | B(TAG_DEPTH), B(TAG_PATH), 0},
    [TYPE_GREP] = {serve_grep, B(TAG_USER) | B(TAG_PATH) | B(TAG_PATTERN) | B(TAG_GLOB) | B(TAG_LIMIT) | B(TAG_FLAGS),
                   B(TAG_PATH) | B(TAG_PATTERN), 0},
    [TYPE_REPLACE] = {serve_replace, B(TAG_USER) | B(TAG_PATH) | B(TAG_PATTERN) | B(TAG_TO) | B(TAG_FLAGS),
                      B(TAG_PATH) | B(TAG_PATTERN) | B(TAG_TO), B(TAG_PATH)},
    [TYPE_TREE_READ] = {serve_tree_read, B(TAG_USER) | B(TAG_PATH), B(TAG_PATH), 0},
    [TYPE_TREE_WRITE] = {serve_tree_write, B(TAG_USER) | B(TAG_PATH) | B(TAG_FLAGS), B(TAG_PATH), 0},
    [TYPE_WATCH] = {serve_watch, B(TAG_USER) | B(TAG_PATH) | B(TAG_FLAGS), B(TAG_PATH), 0},
};

void (*abandon)(void);
static uint64_t init_started_us;

uint64_t realtime_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

const struct schema *kill_all_schema(void) {
  static const struct schema schema = {.kinds = kinds, .allowed = B(TAG_SIGNAL) | B(TAG_TIMEOUT_MS)};
  return &schema;
}

_Noreturn static void leave(void) {
  void (*cleanup)(void) = abandon;
  abandon = NULL;
  if (cleanup) cleanup();
  _exit(0);
}

void flush(struct session *session) {
  if (sink_flush(&session->sink, 0) < 0) leave();
}

void flush_when_full(struct session *session) {
  if (!sink_reserve(&session->sink)) flush(session);
}

struct sink *open_frame(struct session *session, uint8_t type) {
  flush_when_full(session);
  sink_begin(&session->sink, type);
  return &session->sink;
}

void finish(struct session *session) {
  flush(session);
  _exit(0);
}

void linger(struct session *session) {
  shutdown(session->fd, SHUT_WR);
  uint64_t until_us = now_us() + LINGER_MS * 1000;
  struct pollfd ready = {.fd = session->fd, .events = POLLIN};
  while (now_us() < until_us && poll(&ready, 1, LINGER_MS) == 1) {
    if (recv(session->fd, session->sink.data, SINK_BYTES, MSG_DONTWAIT) <= 0) break;
  }
  close(session->fd);
}

void fail(struct session *session, int error, const char *code, const char *message) {
  // Before it is told: whoever hears of the failure finds nothing half done.
  void (*cleanup)(void) = abandon;
  abandon = NULL;
  if (cleanup) cleanup();
  struct sink *sink = open_frame(session, TYPE_ERROR);
  sink_number(sink, TAG_ERRNO, (uint64_t)error);
  sink_text(sink, TAG_CODE, code);
  sink_text(sink, TAG_MESSAGE, message);
  if (session->stays) {
    sink_number(sink, TAG_SIZE, session->stays->files);
    sink_text(sink, TAG_PATH, session->stays->last);
  }
  sink_commit(sink);
  flush(session);
  linger(session);
  _exit(0);
}

void fail_errno(struct session *session, int error, const char *what) {
  char message[128 + PATH_MAX];
  snprintf(message, sizeof message, "%s: %s", what, strerror(error));
  fail(session, error, error == EPROTO || error == EINVAL ? "bad_request" : "errno", message);
}

void next_frame(struct session *session, struct frame *frame) {
  int found = reader_wait(&session->reader, frame);
  if (found == 0) leave();
  if (found < 0) fail_errno(session, errno, "frame");
}

static void decode(struct session *session, struct message *message, const struct frame *frame, const struct schema *schema) {
  int error = message_decode(message, frame, schema);
  if (error) fail(session, -error, "bad_request", message->problem);
}

void decode_or_fail(struct session *session, struct message *message, const struct frame *frame, uint64_t allowed, uint64_t required) {
  decode(session, message, frame, &(struct schema){.kinds = kinds, .allowed = allowed, .required = required});
}

void assume_user(struct session *session) {
  const char *user = message_text(&session->request, TAG_USER, NULL);
  if (!user) return;
  struct identity identity;
  int error = identity_resolve(user, &identity);
  if (error) fail(session, -error, error == -ENOENT ? "no_such_user" : "errno", "no such user or group");
  if (identity_assume(&identity) < 0) fail_errno(session, errno, "cannot become the user");
  prctl(PR_SET_DUMPABLE, 0);
}

static void serve_ping(struct session *session) {
  struct sink *sink = open_frame(session, TYPE_OK);
  sink_number(sink, TAG_PID, 1);
  sink_number(sink, TAG_UPTIME_US, now_us() - init_started_us);
  sink_commit(sink);
  finish(session);
}

void serve(int fd, uint64_t started_us) {
  static struct session session;
  static char storage[READER_BYTES];
  struct frame frame;
  init_started_us = started_us;
  session.fd = fd;
  reader_open(&session.reader, fd, storage, sizeof storage);
  sink_open(&session.sink, fd);
  next_frame(&session, &frame);
  // A copy of its own: the reader's buffer is for the frames that follow, and the request's texts are needed to the end.
  char *payload = malloc(frame.length + 1);
  if (!payload) fail(&session, ENOMEM, "errno", "no memory");
  frame.payload = memcpy(payload, frame.payload, frame.length);
  const struct operation *operation = frame.type < sizeof operations / sizeof *operations ? &operations[frame.type] : NULL;
  if (!operation || !operation->run) fail(&session, EPROTO, "bad_request", "unknown request type");
  decode(&session, &session.request, &frame,
         &(struct schema){.kinds = kinds, .allowed = operation->allowed, .required = operation->required, .repeated = operation->repeated});
  root_admit(&session, frame.type);
  operation->run(&session);
  finish(&session);
}
