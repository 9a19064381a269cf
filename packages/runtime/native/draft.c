#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LINKS_MAX = 40, NO_REPLACE = 1 };

static struct draft *open_draft;

static void discard(void) {
  unlinkat(open_draft->parent, open_draft->temporary, 0);
  unmake_directories(&open_draft->made);
}

// Where a write to `path` would land: a symlink's target is replaced, not the symlink, also when that target does not exist yet.
static void resolve_target(struct session *session, const char *path, char target[PATH_MAX]) {
  char resolved[PATH_MAX], link[PATH_MAX];
  if (strlen(path) >= PATH_MAX) fail_errno(session, ENAMETOOLONG, "path");
  strcpy(target, path);
  for (int links = 0; links < LINKS_MAX; links++) {
    if (realpath(target, resolved)) {
      strcpy(target, resolved);
      return;
    }
    if (errno != ENOENT) fail_errno(session, errno, path);
    ssize_t length = readlink(target, link, sizeof link - 1);
    if (length < 0) return;
    link[length] = 0;
    char *name = link[0] == '/' ? target : strrchr(target, '/') + 1;
    if ((size_t)(name - target) + strlen(link) >= PATH_MAX) fail_errno(session, ENAMETOOLONG, path);
    strcpy(name, link);
  }
  fail_errno(session, ELOOP, path);
}

void draft_open(struct session *session, struct draft *draft, const char *path, bool parents) {
  char target[PATH_MAX];
  resolve_target(session, path, target);
  char *slash = strrchr(target, '/');
  if (strlen(slash + 1) > NAME_MAX) fail_errno(session, ENAMETOOLONG, path);
  strcpy(draft->name, slash + 1);
  if (!draft->name[0] || strcmp(draft->name, ".") == 0 || strcmp(draft->name, "..") == 0) fail_errno(session, EISDIR, path);
  slash[slash == target] = 0;
  draft->made.kept = 0;
  if (parents && make_directories(target, 0755, &draft->made) < 0) fail_errno(session, errno, path);
  draft->parent = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (draft->parent < 0) fail_errno(session, errno, path);
  draft->exists = fstatat(draft->parent, draft->name, &draft->before, AT_SYMLINK_NOFOLLOW) == 0;
  if (draft->exists && !S_ISREG(draft->before.st_mode)) fail_errno(session, S_ISDIR(draft->before.st_mode) ? EISDIR : EINVAL, path);
  name_at_random(draft->temporary, ".banyan-");
  open_draft = draft;
  abandon = discard;
  draft->fd = openat(draft->parent, draft->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (draft->fd < 0) fail_errno(session, errno, path);
}

// Only root can give a file away; for others the file becomes their own, as with every editor that replaces.
void draft_commit(struct session *session, struct draft *draft, bool exclusive, uint64_t mode) {
  if (draft->exists && fchown(draft->fd, draft->before.st_uid, draft->before.st_gid) < 0 && errno != EPERM) {
    fail_errno(session, errno, draft->name);
  }
  mode_t kept = draft->exists ? draft->before.st_mode : 0644;
  if (fchmod(draft->fd, (mode == UINT64_MAX ? kept : (mode_t)mode) & 07777) < 0) fail_errno(session, errno, draft->name);
  if (close(draft->fd) < 0) fail_errno(session, errno, draft->name);
  unsigned flags = exclusive ? NO_REPLACE : 0;
  if (syscall(SYS_renameat2, draft->parent, draft->temporary, draft->parent, draft->name, flags) < 0) {
    fail_errno(session, errno, draft->name);
  }
  abandon = NULL;
  close(draft->parent);
}
