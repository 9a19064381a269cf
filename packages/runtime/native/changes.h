// What `changes` is made of: how two trees of overlay layers differ, read from the layers' own directories.
#ifndef BANYAN_CHANGES_H
#define BANYAN_CHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

enum { PATH_BYTES = 4096, DEPTH_MAX = 256 };

// The directories of one path in several layers, top first.
struct layers {
  int count;
  int *fds;
};

// One of the two trees at one path: its own layers, and whether those that both stand on show through below them.
struct side {
  struct layers own;
  bool sees_base;
};

struct found {
  bool present;
  struct stat stat;
  // The directory that holds it.
  int parent;
};

struct options {
  // Null: from the start, and everything.
  const char *after, *below;
  uint64_t entries_max, visits_max;
  // Files up to so many bytes come with their content.
  int64_t new_bytes_max, old_bytes_max;
  // Content only where that is what differs, and of both sides or none.
  bool for_patch;
  // Names also all that is in a deleted directory.
  bool expand;
  // Goes on counting when the page is full.
  bool summary;
  // Not looked at; and directories that are not told of when they are new.
  const char *left_out[16], *made[16];
};

struct totals {
  uint64_t added, changed, deleted, bytes, skipped;
};

extern struct options options;

_Noreturn void fail(const char *what, int error);

// layers.c
bool is_directory(const struct found *found);
bool same_inode(const struct found *one, const struct found *other);
void look(const struct layers *layers, const char *name, struct found *found, struct layers *below, bool *ends);
void add_layer(struct layers *layers, int fd, int most);
void release(struct layers *layers);

// names.c: the names in these directories that come after one, in order, a bounded number at a time.
struct names {
  char **list;
  size_t count, most;
  bool truncated;
};
void read_names(struct names *names, const struct layers *const directories[], int count, const char *after, bool inclusive);
void release_names(struct names *names);

// differences.c: a letter for each way in which they differ. `what` has room for 8.
void differences(const struct found *now, const struct found *then, const char *name, char what[8]);
int open_file(int parent, const char *name, struct stat *stat);

// record.c
void write_entry(char kind, const char *what, const struct found *now, const struct found *then, const char *path, const char *name);
// `is_whole`: the totals are those of everything, not of this page alone.
void write_end(const char *status, const struct totals *totals, bool is_whole, const char *path);

#endif
