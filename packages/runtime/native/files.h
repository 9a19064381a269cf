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

// root.c: the directory in the root that is the host's own, and whether this is it: only the host's own requests see it.
const char *root_own_name(void);
bool root_hides(int parent, const char *name);
// Fails the session where the path leads there.
void root_keep_own(struct session *session, const char *path, bool follow);

// parents.c: directories made on the way to a place, which go again where what they were made for fails.
struct made {
  char path[PATH_MAX];
  // How much of the path was there before, and 1; 0: nothing was made.
  size_t kept;
};
// 0 when the directory is there afterwards, else -1 with errno and nothing made.
int make_directories(const char *path, mode_t mode, struct made *made);
void unmake_directories(struct made *made);

// list.c: a directory with all that is in it; -1 with errno.
int remove_whole(int parent, const char *name);

// stage.c: where a tree is unpacked, seen by nobody, until it is whole.
struct stage {
  int holder, own, fd;
  char name[32];
};
void name_at_random(char name[32], const char *prefix);
// Opens what holds them all, as root, and removes what processes that have ended left there; -1 with errno.
int stage_open(struct stage *stage);
// As whom the tree is unpacked. -1 with errno.
int stage_begin(struct stage *stage);
// Whether it can be renamed from one to the other.
bool stage_reaches(int one, int other);
// Moves everything to its place below `to`, into directories that are there; -1 with errno, and some of it may have been moved.
int stage_settle(const struct stage *stage, int to);
// How many of its files have not been moved.
uint64_t stage_left(const struct stage *stage);
void stage_end(struct stage *stage);
// Of a root that was entered: removes what is left of an earlier life.
void stage_sweep(void);

// draft.c: new content of a file, beside it until it is whole.
struct draft {
  int parent, fd;
  bool exists;
  struct stat before;
  char temporary[32], name[NAME_MAX + 1];
  struct made made;
};
void draft_open(struct session *session, struct draft *draft, const char *path, bool parents);
void draft_commit(struct session *session, struct draft *draft, bool exclusive, uint64_t mode);

#endif
