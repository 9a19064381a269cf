// changes: how one tree of overlay layers differs from another that stands on the same ones. Walks only what the two have of their own, and looks
// up single names in what they share. Run by the host as root over directories that a running sandbox may be writing to: no name is followed that is
// not a directory of the layer itself, and nothing is opened but directories and regular files.
#include "changes.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { NICE = 10, MEMORY_MAX = 512 << 20, STDOUT_BYTES = 1 << 17 };

struct options options = {.entries_max = UINT64_MAX, .visits_max = UINT64_MAX, .new_bytes_max = -1, .old_bytes_max = -1};

static struct totals totals;
static char path[PATH_BYTES], last[PATH_BYTES];
static uint64_t entries, visits;
static bool is_over, is_full;

struct place {
  struct side now, then;
  struct layers base;
  // Where the walk goes on, and where alone it goes, below this directory. Null: from the first, and everywhere.
  const char *after, *below;
};

static void compare_directory(struct place *place, size_t length, int depth);

_Noreturn void fail(const char *what, int error) {
  fprintf(stderr, "%s%s%s: %s", path, *path ? ": " : "", what, strerror(error));
  exit(1);
}

static bool is_listed(const char *const list[16]) {
  for (int i = 0; i < 16 && list[i]; i++) {
    if (strcmp(list[i], path) == 0) return true;
  }
  return false;
}

static void count(char kind, const char *what, const struct found *now) {
  if (kind == 'A') totals.added++;
  if (kind == 'M') totals.changed++;
  if (kind == 'D') totals.deleted++;
  bool has_bytes = kind == 'A' || (kind == 'M' && strpbrk(what, "cy"));
  if (has_bytes && S_ISREG(now->stat.st_mode)) totals.bytes += (uint64_t)now->stat.st_size;
}

static void tell(const struct found *now, const struct found *then, const char *name) {
  char what[8] = "", kind = !then->present ? 'A' : !now->present ? 'D' : 'M';
  if (kind == 'M') differences(now, then, name, what);
  if ((kind == 'M' && !*what) || (kind == 'A' && is_directory(now) && is_listed(options.made))) return;
  if (entries == options.entries_max) {
    is_full = true;
    if (!options.summary) is_over = true;
  }
  if (is_over) return;
  count(kind, what, now);
  if (is_full) return;
  entries++;
  strcpy(last, path);
  write_entry(kind, what, now, then, path, name);
}

// The part of a path behind its first name, where that name is this one; null where the path ends with it.
static const char *rest_of(const char *whole, const char *name) {
  size_t length = strlen(name);
  if (!whole || strncmp(whole, name, length) != 0 || whole[length] != '/') return NULL;
  return whole + length + 1;
}

static void visit(struct place *place, const char *name, bool is_known, size_t length, int depth) {
  size_t name_length = strlen(name), whole = length + (length > 0) + name_length;
  if (whole >= sizeof path || depth == DEPTH_MAX) {
    totals.skipped++;
    return;
  }
  if (length) path[length] = '/';
  memcpy(path + whole - name_length, name, name_length + 1);
  if (is_listed(options.left_out)) return;
  struct found base = {0}, now = {0}, then = {0};
  struct place below = {.after = is_known ? rest_of(place->after, name) : NULL, .below = rest_of(place->below, name)};
  bool base_ends = false, now_ends = false, then_ends = false;
  if (place->now.sees_base || place->then.sees_base) look(&place->base, name, &base, &below.base, &base_ends);
  look(&place->now.own, name, &now, &below.now.own, &now_ends);
  look(&place->then.own, name, &then, &below.then.own, &then_ends);
  bool now_shows = place->now.sees_base && !now_ends, then_shows = place->then.sees_base && !then_ends;
  if (now_shows && !now.present) now = base;
  if (then_shows && !then.present) then = base;
  below.now.sees_base = now_shows && is_directory(&now) && is_directory(&base);
  below.then.sees_base = then_shows && is_directory(&then) && is_directory(&base);
  // What only leads to where the walk goes on is not told and does not count: each page comes further than the one before.
  bool on_the_way = below.below != NULL, is_new = !is_known && !on_the_way;
  if (is_new && (now.present || then.present)) tell(&now, &then, name);
  bool goes_down = is_directory(&now) || (is_directory(&then) && (options.expand || on_the_way));
  bool differs = below.now.own.count > 0 || below.then.own.count > 0 || below.now.sees_base != below.then.sees_base;
  if (is_new && !is_over && ++visits >= options.visits_max) {
    is_over = true;
    if (!is_full) strcpy(last, path);
    is_full = true;
  }
  if (!is_over && goes_down && differs) compare_directory(&below, whole, depth + 1);
  path[length] = 0;
  release(&below.base);
  release(&below.now.own);
  release(&below.then.own);
}

// Names that can differ: those that either side has of its own; and those below, where only one side shows them.
static void compare_names(struct place *place, size_t length, int depth) {
  const struct layers *directories[] = {&place->now.own, &place->then.own, &place->base};
  int count = place->now.sees_base != place->then.sees_base ? 3 : 2;
  char from[NAME_MAX + 1] = "";
  if (place->after) snprintf(from, sizeof from, "%.*s", (int)strcspn(place->after, "/"), place->after);
  bool inclusive = true;
  for (struct names names = {.truncated = true}; names.truncated && !is_over; inclusive = false) {
    read_names(&names, directories, count, *from ? from : NULL, inclusive);
    for (size_t i = 0; i < names.count && !is_over; i++) {
      bool is_known = inclusive && place->after && strcmp(names.list[i], from) == 0;
      visit(place, names.list[i], is_known, length, depth);
      path[length] = 0;
    }
    if (names.count > 0) snprintf(from, sizeof from, "%s", names.list[names.count - 1]);
    bool truncated = names.truncated;
    release_names(&names);
    names.truncated = truncated;
  }
}

static void compare_directory(struct place *place, size_t length, int depth) {
  if (!place->below) {
    compare_names(place, length, depth);
    return;
  }
  char name[NAME_MAX + 1];
  size_t name_length = strcspn(place->below, "/");
  if (name_length > NAME_MAX) return;
  snprintf(name, sizeof name, "%.*s", (int)name_length, place->below);
  const char *after = place->after;
  int order = after ? strncmp(name, after, name_length) : 1;
  if (order == 0 && after[name_length] && after[name_length] != '/') order = -1;
  if (order >= 0) visit(place, name, order == 0, length, depth);
}

// Paths may hold any byte but NUL, and arguments of a program only text: they come as hexadecimal digits.
static const char *decode(const char *digits) {
  size_t length = strlen(digits) / 2;
  char *bytes = calloc(1, length + 1);
  if (!bytes || length == 0 || length >= PATH_BYTES) fail("path", EINVAL);
  for (size_t i = 0; i < length; i++) {
    unsigned value;
    if (sscanf(digits + 2 * i, "%2x", &value) != 1 || value == 0) fail("path", EINVAL);
    bytes[i] = (char)value;
  }
  return bytes;
}

static void append(const char *list[16], const char *value) {
  int at = 0;
  while (at < 16 && list[at]) at++;
  if (at == 15) fail("too many paths", EINVAL);
  list[at] = value;
}

static void open_layer(struct layers *layers, const char *directory, int most) {
  int fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) fail(directory, errno);
  add_layer(layers, fd, most);
}

static bool takes(const char *argument, const char *name) { return strcmp(argument, name) == 0; }

static void read_arguments(int argc, char **argv, struct place *root) {
  for (int i = 1; i < argc; i++) {
    const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
    if (takes(name, "--patch")) options.for_patch = true;
    else if (takes(name, "--expand")) options.expand = true;
    else if (takes(name, "--summary")) options.summary = true;
    else if (++i == argc) fail(name, EINVAL);
    else if (takes(name, "--new")) open_layer(&root->now.own, value, argc);
    else if (takes(name, "--old")) open_layer(&root->then.own, value, argc);
    else if (takes(name, "--base")) open_layer(&root->base, value, argc);
    else if (takes(name, "--after")) root->after = decode(value);
    else if (takes(name, "--below")) root->below = decode(value);
    else if (takes(name, "--entries")) options.entries_max = strtoull(value, NULL, 10);
    else if (takes(name, "--visits")) options.visits_max = strtoull(value, NULL, 10);
    else if (takes(name, "--new-bytes")) options.new_bytes_max = strtoll(value, NULL, 10);
    else if (takes(name, "--old-bytes")) options.old_bytes_max = strtoll(value, NULL, 10);
    else if (takes(name, "--left-out")) append(options.left_out, value);
    else if (takes(name, "--made")) append(options.made, value);
    else fail(name, EINVAL);
  }
}

int main(int argc, char **argv) {
  struct place root = {.now.sees_base = true, .then.sees_base = true};
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) setrlimit(RLIMIT_NOFILE, &(struct rlimit){files.rlim_max, files.rlim_max});
  setrlimit(RLIMIT_AS, &(struct rlimit){MEMORY_MAX, MEMORY_MAX});
  setpriority(PRIO_PROCESS, 0, NICE);
  setvbuf(stdout, NULL, _IOFBF, STDOUT_BYTES);
  read_arguments(argc, argv, &root);
  compare_directory(&root, 0, 0);
  write_end(is_full ? "more" : "end", &totals, !is_over, last);
  if (fflush(stdout) != 0) fail("output", errno);
  return 0;
}
