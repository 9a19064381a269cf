// What the file operations share.
#ifndef BANYAN_FILES_H
#define BANYAN_FILES_H

#include <limits.h>
#include <regex.h>
#include <sys/stat.h>

#include "init.h"

// Deeper than this a tree is not walked: each level holds a descriptor.
enum { WALK_DEPTH_MAX = 256, SEARCHED_FILE_MAX = 64 << 20 };

// The request's PATH, which must be absolute; fails the session otherwise.
const char *request_path(struct session *session);
// The same where a symlink at its end is meant itself.
const char *request_place(struct session *session);
struct timespec modified_at(uint64_t mtime_ns);
char type_letter(mode_t mode);
// An ENTRY; `parent` and `name` tell where a symlink is read from.
void send_entry(struct session *session, const char *shown, const struct stat *stat, int parent, const char *name);
int make_directories(const char *path, mode_t mode);
// Ends the process when the host has closed: called now and then where a search says nothing for long.
void check_host(struct session *session);

void compile_or_fail(struct session *session, regex_t *regex, const char *pattern, bool fixed, bool any_case);

// walk.c: depth first, a directory before what it holds, no symlink followed, /proc and its like passed over.
struct visit {
  const char *path, *name;
  int parent, depth;
  const struct stat *stat;
};
enum walk_step { WALK_ON, WALK_PASS, WALK_STOP };
typedef enum walk_step (*walk_visitor)(void *context, const struct visit *visit);
// 0, or a negative errno of the start. What cannot be opened further down is passed over. A start that is no directory is visited as ".".
int walk(const char *start, walk_visitor visitor, void *context);

// root.c: whether this is the host's own directory in a root that was entered, which only the host's own requests see.
bool root_hides(int parent, const char *name);
// Fails the session where the path leads there.
void root_keep_own(struct session *session, const char *path, bool follow);

// draft.c: new content of a file, beside it until it is whole.
struct draft {
  int parent, fd;
  bool exists;
  struct stat before;
  char temporary[32], name[NAME_MAX + 1];
};
void draft_open(struct session *session, struct draft *draft, const char *path, bool parents);
void draft_commit(struct session *session, struct draft *draft, bool exclusive, uint64_t mode);

#endif
