// REPLACE: a text in files, each written whole beside the old one and renamed over it.
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct replacing {
  struct session *session;
  const char *pattern, *to;
  size_t pattern_length, to_length;
  bool fixed;
  regex_t regex;
  int output;
  uint64_t total;
};

static char *read_file(struct session *session, const char *path, size_t *length) {
  struct stat stat;
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &stat) < 0) fail_errno(session, errno, path);
  if (!S_ISREG(stat.st_mode)) fail_errno(session, EINVAL, path);
  if (stat.st_size > SEARCHED_FILE_MAX) fail_errno(session, EFBIG, path);
  char *text = malloc((size_t)stat.st_size + 1);
  if (!text) fail_errno(session, ENOMEM, path);
  *length = 0;
  while (*length < (size_t)stat.st_size) {
    ssize_t got = read(fd, text + *length, (size_t)stat.st_size - *length);
    if (got < 0) fail_errno(session, errno, path);
    if (got == 0) break;
    *length += (size_t)got;
  }
  text[*length] = 0;
  close(fd);
  return text;
}

// The next hit at or after `at`: its place, its length in `*length`; NULL when there is none.
static const char *next_hit(const struct replacing *replacing, const char *at, const char *end, const char *start, size_t *length) {
  if (replacing->fixed) {
    *length = replacing->pattern_length;
    return memmem(at, (size_t)(end - at), replacing->pattern, replacing->pattern_length);
  }
  regmatch_t match;
  bool line_start = at == start || at[-1] == '\n';
  if (regexec(&replacing->regex, at, 1, &match, line_start ? 0 : REG_NOTBOL) != 0) return NULL;
  *length = (size_t)(match.rm_eo - match.rm_so);
  return at + match.rm_so;
}

static void put(struct replacing *replacing, const char *bytes, size_t length, const char *path) {
  if (replacing->output >= 0 && write_all(replacing->output, bytes, length) < 0) fail_errno(replacing->session, errno, path);
}

// Without an output it only counts, so that a file without a hit is not touched.
static uint64_t rewrite(struct replacing *replacing, const char *text, size_t size, const char *path) {
  const char *at = text, *end = text + size, *hit;
  uint64_t count = 0;
  size_t length;
  while (at <= end && (hit = next_hit(replacing, at, end, text, &length))) {
    put(replacing, at, (size_t)(hit - at), path);
    put(replacing, replacing->to, replacing->to_length, path);
    count++;
    at = hit + length;
    if (length > 0) continue;
    // An empty match would be found here for ever.
    if (at < end) put(replacing, at, 1, path);
    at++;
  }
  if (at < end) put(replacing, at, (size_t)(end - at), path);
  return count;
}

static void replace_in(struct replacing *replacing, const char *path) {
  struct session *session = replacing->session;
  static struct draft draft;
  size_t length;
  char *text = read_file(session, path, &length);
  replacing->output = -1;
  uint64_t count = rewrite(replacing, text, length, path);
  if (count) {
    draft_open(session, &draft, path, false);
    replacing->output = draft.fd;
    rewrite(replacing, text, length, path);
    draft_commit(session, &draft, false, UINT64_MAX);
  }
  free(text);
  replacing->total += count;
  struct sink *sink = open_frame(session, TYPE_MATCH);
  sink_text(sink, TAG_PATH, path);
  sink_number(sink, TAG_SIZE, count);
  sink_commit(sink);
}

void serve_replace(struct session *session) {
  const struct message *request = &session->request;
  struct replacing replacing = {.session = session, .pattern = message_text(request, TAG_PATTERN, ""), .to = message_text(request, TAG_TO, "")};
  replacing.fixed = !(message_number(request, TAG_FLAGS, 0) & FLAG_REGEX);
  replacing.pattern_length = strlen(replacing.pattern);
  replacing.to_length = strlen(replacing.to);
  if (!replacing.pattern_length) fail(session, EINVAL, "bad_request", "an empty pattern");
  if (!replacing.fixed) compile_or_fail(session, &replacing.regex, replacing.pattern, false, false);
  assume_user(session);
  char **paths = message_texts(request, TAG_PATH, 0);
  if (!paths) fail_errno(session, ENOMEM, "paths");
  for (char **path = paths; *path; path++) {
    if (**path != '/') fail(session, EINVAL, "bad_request", "a path must be absolute");
    root_keep_own(session, *path, true);
    replace_in(&replacing, *path);
  }
  struct sink *sink = open_frame(session, TYPE_OK);
  sink_number(sink, TAG_SIZE, replacing.total);
  sink_commit(sink);
}
