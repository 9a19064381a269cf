// FIND by name and GREP by content.
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { FIND_LIMIT = 100000, GREP_LIMIT = 10000, SHOWN_LINE_MAX = 2048, BINARY_PROBE = 8192, WINDOW_BYTES = 256 * 1024, CHECK_EVERY = 256 };
enum { SEARCH_CPU_S = 60, SEARCH_MEMORY_BYTES = 512 << 20 };

struct search {
  struct session *session;
  const char *glob, *pattern;
  uint64_t limit, found, visited, depth;
  bool fixed, truncated;
  size_t pattern_length;
  regex_t regex;
};

static bool name_matches(const struct search *search, const struct visit *visit) {
  if (!search->glob) return true;
  bool whole = strchr(search->glob, '/') != NULL;
  const char *name = visit->depth == 0 ? strrchr(visit->name, '/') + 1 : visit->name;
  return fnmatch(search->glob, whole ? visit->path : name, whole ? FNM_PATHNAME : 0) == 0;
}

static bool has_room(struct search *search) {
  search->truncated = search->found >= search->limit;
  if (++search->visited % CHECK_EVERY == 0) check_host(search->session);
  return !search->truncated;
}

static void finish_search(struct search *search) {
  struct sink *sink = open_frame(search->session, TYPE_OK);
  if (search->truncated) sink_number(sink, TAG_FLAGS, FLAG_TRUNCATED);
  sink_commit(sink);
}

static enum walk_step find_visited(void *context, const struct visit *visit) {
  struct search *search = context;
  if (name_matches(search, visit)) {
    if (!has_room(search)) return WALK_STOP;
    search->found++;
    send_entry(search->session, visit->path, visit->stat, visit->parent, visit->name);
  } else if (++search->visited % CHECK_EVERY == 0) {
    check_host(search->session);
  }
  return (uint64_t)visit->depth >= search->depth ? WALK_PASS : WALK_ON;
}

void serve_find(struct session *session) {
  const struct message *request = &session->request;
  struct search search = {.session = session, .glob = message_text(request, TAG_GLOB, NULL)};
  const char *path = request_path(session);
  search.limit = message_number(request, TAG_LIMIT, FIND_LIMIT);
  search.depth = message_number(request, TAG_DEPTH, UINT64_MAX);
  assume_user(session);
  int error = walk(path, find_visited, &search);
  if (error) fail_errno(session, -error, path);
  finish_search(&search);
}

// Where the pattern begins in a line, or -1. `line` ends in a NUL in place of its newline.
static ssize_t match_line(const struct search *search, const char *line, size_t length) {
  if (search->fixed) {
    const char *at = memmem(line, length, search->pattern, search->pattern_length);
    return at ? at - line : -1;
  }
  regmatch_t match;
  return regexec(&search->regex, line, 1, &match, 0) == 0 ? (ssize_t)match.rm_so : -1;
}

static void send_match(struct search *search, const char *path, uint64_t number, uint64_t column, const char *line, size_t length) {
  struct sink *sink = open_frame(search->session, TYPE_MATCH);
  sink_text(sink, TAG_PATH, path);
  sink_number(sink, TAG_LINE, number);
  sink_number(sink, TAG_OFFSET, column);
  sink_bytes(sink, TAG_DATA, line, length < SHOWN_LINE_MAX ? length : SHOWN_LINE_MAX);
  sink_commit(sink);
  search->found++;
}

// A line longer than the window is searched in pieces; `cut` is how much of it is already gone.
static bool grep_file(struct search *search, int fd, const char *path) {
  static char window[WINDOW_BYTES + 1];
  uint64_t number = 1, cut = 0;
  size_t have = 0;
  bool first = true;
  for (ssize_t got = 1; got > 0;) {
    got = read(fd, window + have, WINDOW_BYTES - have);
    if (got > 0) have += (size_t)got;
    if (first && memchr(window, 0, have < BINARY_PROBE ? have : BINARY_PROBE)) return true;
    first = false;
    size_t at = 0;
    while (at < have) {
      char *end = memchr(window + at, '\n', have - at);
      if (!end && got > 0 && !(at == 0 && have == WINDOW_BYTES)) break;
      size_t length = end ? (size_t)(end - window) - at : have - at;
      window[at + length] = 0;
      ssize_t column = match_line(search, window + at, length);
      if (column >= 0) {
        if (!has_room(search)) return false;
        send_match(search, path, number, cut + (uint64_t)column, window + at, length);
      }
      number += end != NULL;
      cut = end ? 0 : cut + length;
      at += length + (end != NULL);
    }
    memmove(window, window + at, have - at);
    have -= at;
  }
  return true;
}

static enum walk_step grep_visited(void *context, const struct visit *visit) {
  struct search *search = context;
  if (++search->visited % CHECK_EVERY == 0) check_host(search->session);
  if (!S_ISREG(visit->stat->st_mode) || visit->stat->st_size > SEARCHED_FILE_MAX || !name_matches(search, visit)) return WALK_ON;
  int follow = visit->depth == 0 ? 0 : O_NOFOLLOW;
  int fd = openat(visit->parent, visit->name, O_RDONLY | O_NONBLOCK | O_CLOEXEC | follow);
  if (fd < 0) return WALK_ON;
  bool goes_on = grep_file(search, fd, visit->path);
  close(fd);
  return goes_on ? WALK_ON : WALK_STOP;
}

// A fixed text that is to match in any case becomes an expression that means just that text.
static char *escape(const char *text) {
  char *escaped = malloc(2 * strlen(text) + 1), *to = escaped;
  if (!escaped) return NULL;
  for (; *text; *to++ = *text++) {
    if (strchr("\\^$.[|()*+?{", *text)) *to++ = '\\';
  }
  *to = 0;
  return escaped;
}

// A pattern can be made to cost without bound, and the handler is the last that the OOM killer would take.
static void bound_search(void) {
  setrlimit(RLIMIT_CPU, &(struct rlimit){SEARCH_CPU_S, SEARCH_CPU_S});
#ifndef __SANITIZE_ADDRESS__  // which maps terabytes and uses almost none of them
  setrlimit(RLIMIT_AS, &(struct rlimit){SEARCH_MEMORY_BYTES, SEARCH_MEMORY_BYTES});
#endif
}

void compile_or_fail(struct session *session, regex_t *regex, const char *pattern, bool fixed, bool any_case) {
  bound_search();
  char *escaped = fixed ? escape(pattern) : NULL, problem[160];
  if (fixed && !escaped) fail_errno(session, ENOMEM, "pattern");
  int error = regcomp(regex, fixed ? escaped : pattern, REG_EXTENDED | REG_NEWLINE | (any_case ? REG_ICASE : 0));
  free(escaped);
  if (!error) return;
  regerror(error, regex, problem, sizeof problem);
  fail(session, EINVAL, "bad_request", problem);
}

void serve_grep(struct session *session) {
  const struct message *request = &session->request;
  uint64_t flags = message_number(request, TAG_FLAGS, 0);
  struct search search = {.session = session, .glob = message_text(request, TAG_GLOB, NULL), .pattern = message_text(request, TAG_PATTERN, "")};
  const char *path = request_path(session);
  bool any_case = flags & FLAG_IGNORE_CASE;
  search.fixed = (flags & FLAG_FIXED) && !any_case;
  search.pattern_length = strlen(search.pattern);
  search.limit = message_number(request, TAG_LIMIT, GREP_LIMIT);
  if (!search.fixed) compile_or_fail(session, &search.regex, search.pattern, flags & FLAG_FIXED, any_case);
  assume_user(session);
  int error = walk(path, grep_visited, &search);
  if (error) fail_errno(session, -error, path);
  finish_search(&search);
}
