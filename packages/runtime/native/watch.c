// WATCH: changes below a directory, until the host hangs up.
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum { WATCHES_MAX = 8192, EVENTS_BYTES = 65536 };

static const uint32_t wanted = IN_CREATE | IN_MODIFY | IN_ATTRIB | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR | IN_DONT_FOLLOW;

struct watching {
  struct session *session;
  const char *root;
  int inotify;
  bool recursive, at_root;
  // By watch number, which the kernel counts up from 1; the path is relative to the root.
  char *paths[WATCHES_MAX + 1];
};

static void add(struct watching *watching, const char *relative) {
  char path[PATH_MAX];
  int length = snprintf(path, sizeof path, "%s/%s", watching->root, relative);
  if (length < 0 || length >= (int)sizeof path) return;
  int number = inotify_add_watch(watching->inotify, *relative ? path : watching->root, *relative ? wanted : wanted & ~(uint32_t)IN_DONT_FOLLOW);
  if (number < 0) {
    // What is gone again before it could be watched has nothing left to tell.
    if (errno == ENOENT || errno == ENOTDIR || errno == EACCES) return;
    fail_errno(watching->session, errno, path);
  }
  if (number > WATCHES_MAX) fail(watching->session, ENOSPC, "too_many", "too many directories to watch");
  free(watching->paths[number]);
  watching->paths[number] = strdup(relative);
}

static enum walk_step add_visited(void *context, const struct visit *visit) {
  if (S_ISDIR(visit->stat->st_mode)) add(context, visit->path);
  return WALK_ON;
}

static const char *kind_of(uint32_t mask) {
  if (mask & IN_CREATE) return "created";
  if (mask & IN_DELETE) return "removed";
  if (mask & (IN_MOVED_FROM | IN_MOVED_TO)) return "moved";
  return "modified";
}

static void tell(struct watching *watching, const struct inotify_event *event) {
  char path[PATH_MAX];
  if (event->mask & IN_Q_OVERFLOW) fail(watching->session, EOVERFLOW, "errno", "events were lost");
  const char *directory = event->wd > 0 && event->wd <= WATCHES_MAX ? watching->paths[event->wd] : NULL;
  if (!directory || !event->len) return;
  if (watching->at_root && !*directory && strcmp(event->name, root_own_name()) == 0) return;
  int length = snprintf(path, sizeof path, "%s%s%s", directory, *directory ? "/" : "", event->name);
  if (length < 0 || length >= (int)sizeof path) return;
  bool appeared = event->mask & (IN_CREATE | IN_MOVED_TO);
  if (watching->recursive && appeared && (event->mask & IN_ISDIR)) add(watching, path);
  struct sink *sink = open_frame(watching->session, TYPE_EVENT);
  sink_text(sink, TAG_PATH, path);
  sink_text(sink, TAG_KIND, kind_of(event->mask));
  sink_commit(sink);
}

static void take_events(struct watching *watching) {
  static _Alignas(struct inotify_event) char buffer[EVENTS_BYTES];
  ssize_t got = read(watching->inotify, buffer, sizeof buffer);
  if (got < 0 && errno != EAGAIN) fail_errno(watching->session, errno, "watch");
  for (char *at = buffer; got > 0 && at < buffer + got;) {
    const struct inotify_event *event = (const struct inotify_event *)at;
    tell(watching, event);
    at += sizeof *event + event->len;
  }
}

void serve_watch(struct session *session) {
  static struct watching watching;
  watching.session = session;
  watching.root = request_path(session);
  watching.recursive = message_number(&session->request, TAG_FLAGS, 0) & FLAG_RECURSIVE;
  assume_user(session);
  struct stat stat;
  if (fstatat(AT_FDCWD, watching.root, &stat, 0) < 0) fail_errno(session, errno, watching.root);
  if (!S_ISDIR(stat.st_mode)) fail_errno(session, ENOTDIR, watching.root);
  int root = open(watching.root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  watching.at_root = root >= 0 && root_hides(root, root_own_name());
  if (root >= 0) close(root);
  watching.inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (watching.inotify < 0) fail_errno(session, errno, "watch");
  add(&watching, "");
  if (watching.recursive) walk(watching.root, add_visited, &watching);
  sink_commit(open_frame(session, TYPE_OK));
  for (;;) {
    flush(session);
    struct pollfd ready[2] = {{.fd = watching.inotify, .events = POLLIN}, {.fd = session->fd, .events = POLLIN | POLLRDHUP}};
    poll(ready, 2, -1);
    if (ready[1].revents) _exit(0);
    take_events(&watching);
  }
}
