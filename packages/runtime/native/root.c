// What of a root is the host's own, seen and changed by its own requests alone: of a sandbox `/.banyan`. And files without a sandbox: a directory
// becomes the root, so that nothing leads out of it; there it is `/.banyan-unfinished`, for a volume may hold the copy of a sandbox's files.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "files.h"

enum { LINKS_MAX = 40, CAPABILITIES_MAX = 64, HANDLER_MEMORY_BYTES = 256 << 20 };

// What root does to files by right. Not CAP_DAC_READ_SEARCH, for by a file's handle it leads out of every root.
enum { CHOWN = 1 << 0, DAC_OVERRIDE = 1 << 1, FOWNER = 1 << 3, FSETID = 1 << 4 };

#define BIT(type) (UINT64_C(1) << (type))

static const uint64_t reading = BIT(TYPE_PING) | BIT(TYPE_STAT) | BIT(TYPE_LIST) | BIT(TYPE_READ) | BIT(TYPE_FIND) | BIT(TYPE_GREP) | BIT(TYPE_TREE_READ);
static const uint64_t writing = BIT(TYPE_WRITE) | BIT(TYPE_MKDIR) | BIT(TYPE_MOVE) | BIT(TYPE_REMOVE) | BIT(TYPE_CHMOD) | BIT(TYPE_REPLACE) |
                                BIT(TYPE_TREE_WRITE);
static const char *own_name = ".banyan";
static bool is_rooted, is_read_only, is_own_allowed, is_writing;
static struct stat root;

static int drop_rights(void) {
  struct {
    uint32_t version;
    int pid;
  } header = {.version = 0x20080522};
  struct {
    uint32_t effective, permitted, inheritable;
  } kept[2] = {{.effective = CHOWN | DAC_OVERRIDE | FOWNER | FSETID, .permitted = CHOWN | DAC_OVERRIDE | FOWNER | FSETID}};
  for (int capability = 0; capability < CAPABILITIES_MAX; capability++) {
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 && errno != EINVAL) return -1;
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -1;
  return (int)syscall(SYS_capset, &header, kept);
}

// A handler's memory is the host's here, where no sandbox's limit holds it, and how much a directory or a tree has of names is for others to say. What
// the host runs short of it takes from a handler first.
static void bound_memory(void) {
#ifndef __SANITIZE_ADDRESS__  // which maps terabytes and uses almost none of them
  setrlimit(RLIMIT_AS, &(struct rlimit){HANDLER_MEMORY_BYTES, HANDLER_MEMORY_BYTES});
#endif
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd >= 0) (void)!write(fd, "1000", 4);
  if (fd >= 0) close(fd);
}

int root_enter(const char *directory, bool read_only) {
  bound_memory();
  if (chdir(directory) < 0 || chroot(".") < 0 || stat("/", &root) < 0) return -1;
  is_rooted = true;
  own_name = ".banyan-unfinished";
  is_read_only = read_only;
  return drop_rights();
}

bool root_entered(void) { return is_rooted; }

const char *root_own_name(void) { return own_name; }

void root_admit(struct session *session, uint8_t type) {
  is_writing = writing & BIT(type);
  // In a slot the root is that of the moment: a sandbox's comes later than this process.
  if (!is_rooted && stat("/", &root) < 0) fail_errno(session, errno, "/");
  if (!is_rooted) return;
  if (!is_writing && !(reading & BIT(type))) fail(session, EPROTO, "bad_request", "only files are served here");
  if (message_has(&session->request, TAG_USER)) fail(session, EINVAL, "bad_request", "there are no users here");
  if (is_writing && is_read_only) fail_errno(session, EROFS, "request");
  is_own_allowed = message_number(&session->request, TAG_FLAGS, 0) & FLAG_OWN;
}

bool root_hides(int parent, const char *name) {
  struct stat stat;
  if (is_own_allowed || strcmp(name, own_name) != 0) return false;
  return fstatat(parent, "", &stat, AT_EMPTY_PATH) == 0 && stat.st_ino == root.st_ino && stat.st_dev == root.st_dev;
}

static bool is_within_own(const char *path) {
  path += strspn(path, "/");
  size_t length = strcspn(path, "/");
  return length == strlen(own_name) && memcmp(path, own_name, length) == 0;
}

static bool leads_upwards(const char *path) {
  for (; *path; path += strcspn(path, "/")) {
    path += strspn(path, "/");
    if (path[0] == '.' && path[1] == '.' && (path[2] == '/' || !path[2])) return true;
  }
  return false;
}

enum found { FOUND_OWN, FOUND_OTHER, FOUND_LINK };

// Where what is not there yet would be: below the last part of `path` that is there. A link to nothing is put in its place, to look again.
static enum found look_above(char path[PATH_MAX]) {
  char head[PATH_MAX], resolved[PATH_MAX], link[PATH_MAX], next[PATH_MAX];
  strcpy(head, path);
  for (;;) {
    ssize_t length = *head ? readlink(head, link, sizeof link - 1) : -1;
    const char *rest = path + strlen(head);
    if (length > 0) {
      link[length] = 0;
      *strrchr(head, '/') = 0;
      bool absolute = link[0] == '/';
      int whole = snprintf(next, sizeof next, "%s%s%s%s", absolute ? "" : head, absolute ? "" : "/", link, rest);
      if (whole < 0 || whole >= (int)sizeof next) return FOUND_OTHER;
      strcpy(path, next);
      return FOUND_LINK;
    }
    if (realpath(*head ? head : "/", resolved)) {
      // What is to be made on the way upwards again could end anywhere.
      if (leads_upwards(rest)) return FOUND_OWN;
      return is_within_own(strcmp(resolved, "/") == 0 ? rest : resolved) ? FOUND_OWN : FOUND_OTHER;
    }
    if (errno != ENOENT || !*head) return FOUND_OTHER;
    *strrchr(head, '/') = 0;
  }
}

// Where the path cannot be followed, what is asked for fails by itself.
static bool leads_to_own(const char *given) {
  char path[PATH_MAX], resolved[PATH_MAX];
  if (strlen(given) >= sizeof path) return false;
  strcpy(path, given);
  for (int links = 0; links < LINKS_MAX; links++) {
    if (realpath(path, resolved)) return is_within_own(resolved);
    if (errno != ENOENT) return false;
    enum found found = look_above(path);
    if (found != FOUND_LINK) return found == FOUND_OWN;
  }
  return false;
}

void root_keep_own(struct session *session, const char *path, bool follow) {
  char place[PATH_MAX], resolved[PATH_MAX];
  if (is_own_allowed || strlen(path) >= sizeof place) return;
  strcpy(place, path);
  for (size_t length = strlen(place); length > 1 && place[length - 1] == '/';) place[--length] = 0;
  char *name = strrchr(place, '/') + 1;
  bool is_name = *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
  bool found;
  if (follow || !is_name) {
    found = leads_to_own(place);
  } else {
    // A link that leads there may itself be looked at, moved and removed.
    name[-1] = 0;
    found = leads_to_own(*place ? place : "/");
    if (!found && strcmp(name, own_name) == 0) found = realpath(*place ? place : "/", resolved) && strcmp(resolved, "/") == 0;
  }
  if (found) fail_errno(session, is_writing ? EPERM : ENOENT, path);
}
