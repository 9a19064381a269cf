#include "changes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Names held at all levels of a walk together, as far as `LEAST` a level allows: a tree of a million of them takes no more memory than one of these.
enum { HELD_MAX = 65536, LEAST = 512 };

static size_t held;

static int by_bytes(const void *one, const void *other) { return strcmp(*(char *const *)one, *(char *const *)other); }

// Sorted, each once, and no more than fit: those that come last go.
static void settle(struct names *names) {
  qsort(names->list, names->count, sizeof *names->list, by_bytes);
  size_t kept = 0;
  for (size_t i = 0; i < names->count; i++) {
    bool again = kept > 0 && strcmp(names->list[kept - 1], names->list[i]) == 0;
    if (!again && kept < names->most) {
      names->list[kept++] = names->list[i];
      continue;
    }
    if (!again) names->truncated = true;
    free(names->list[i]);
  }
  names->count = kept;
}

static void take_name(struct names *names, const char *name, const char *after, bool inclusive) {
  if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return;
  int order = after ? strcmp(name, after) : 1;
  if (order < 0 || (order == 0 && !inclusive)) return;
  if (names->count == 2 * names->most) settle(names);
  names->list[names->count] = strdup(name);
  if (!names->list[names->count++]) fail("names", ENOMEM);
}

static void read_directory(struct names *names, int fd, const char *after, bool inclusive) {
  int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  // It has been removed meanwhile: then there is nothing in it.
  if (own < 0 && errno == ENOENT) return;
  DIR *entries = own < 0 ? NULL : fdopendir(own);
  if (!entries) fail("directory", errno);
  errno = 0;
  for (struct dirent *entry; (entry = readdir(entries)); errno = 0) take_name(names, entry->d_name, after, inclusive);
  if (errno && errno != ENOENT) fail("directory", errno);
  closedir(entries);
}

void read_names(struct names *names, const struct layers *const directories[], int count, const char *after, bool inclusive) {
  size_t room = held < HELD_MAX ? (HELD_MAX - held) / 2 : 0;
  *names = (struct names){.most = room > LEAST ? room : LEAST};
  names->list = malloc(sizeof *names->list * 2 * names->most);
  if (!names->list) fail("names", ENOMEM);
  for (int i = 0; i < count; i++) {
    for (int j = 0; j < directories[i]->count; j++) read_directory(names, directories[i]->fds[j], after, inclusive);
  }
  settle(names);
  held += names->count;
}

void release_names(struct names *names) {
  held -= names->count;
  for (size_t i = 0; i < names->count; i++) free(names->list[i]);
  free(names->list);
}
