// Users and groups of the sandbox, read from its own /etc/passwd and /etc/group: no NSS, no libc lookups.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init.h"

enum { DATABASE_MAX = 1 << 20, COLUMNS = 7 };

// The whole file with a NUL after it; an empty text when it is absent, too large or anything but a regular file.
static char *read_database(const char *path) {
  char *text = NULL;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat stat;
  if (fd >= 0 && fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode) && stat.st_size <= DATABASE_MAX) {
    text = malloc((size_t)stat.st_size + 1);
    ssize_t got = text ? read(fd, text, (size_t)stat.st_size) : -1;
    if (text) text[got > 0 ? got : 0] = 0;
  }
  if (fd >= 0) close(fd);
  return text ? text : calloc(1, 1);
}

// Splits the next line at its colons; how many columns it has, or -1 at the end.
static int next_row(char **cursor, char *columns[COLUMNS]) {
  if (!**cursor) return -1;
  char *line = strsep(cursor, "\n");
  if (!*cursor) *cursor = line + strlen(line);
  int count = 0;
  while (line && count < COLUMNS) columns[count++] = strsep(&line, ":");
  return count;
}

static bool parse_id(const char *text, uint32_t *id) {
  if (!*text || strspn(text, "0123456789") != strlen(text) || strlen(text) > 10) return false;
  unsigned long long value = strtoull(text, NULL, 10);
  *id = (uint32_t)value;
  return value < UINT32_MAX;
}

static bool find_user(const char *name, struct identity *identity, char *found_name, size_t found_size) {
  uint32_t uid = 0;
  bool numeric = parse_id(name, &uid), found = false;
  char *text = read_database("/etc/passwd"), *cursor = text, *row[COLUMNS];
  for (int count; text && !found && (count = next_row(&cursor, row)) >= 0;) {
    uint32_t row_uid, row_gid;
    if (count < 6 || !parse_id(row[2], &row_uid) || !parse_id(row[3], &row_gid)) continue;
    if (strcmp(row[0], name) != 0 && !(numeric && row_uid == uid)) continue;
    found = true;
    identity->uid = row_uid;
    identity->gid = row_gid;
    snprintf(identity->home, sizeof identity->home, "%s", *row[5] ? row[5] : "/");
    snprintf(found_name, found_size, "%s", row[0]);
  }
  free(text);
  if (found || !numeric) return found;
  identity->uid = uid;
  return true;
}

static bool lists(const char *members, const char *name) {
  size_t length = strlen(name);
  for (const char *at = members; length && (at = strstr(at, name)); at += length) {
    if ((at == members || at[-1] == ',') && (!at[length] || at[length] == ',')) return true;
  }
  return false;
}

// With `group`, finds that group; else collects the groups that list `member`.
static bool find_groups(const char *group, const char *member, struct identity *identity) {
  uint32_t gid;
  if (group && parse_id(group, &gid)) {
    identity->gid = gid;
    return true;
  }
  bool found = false;
  char *text = read_database("/etc/group"), *cursor = text, *row[COLUMNS];
  for (int count; text && (count = next_row(&cursor, row)) >= 0;) {
    if (count < 3 || !parse_id(row[2], &gid)) continue;
    if (group && strcmp(row[0], group) == 0) {
      identity->gid = gid;
      found = true;
      break;
    }
    bool wanted = !group && count > 3 && lists(row[3], member) && identity->group_count < GROUPS_MAX;
    if (wanted) identity->groups[identity->group_count++] = gid;
  }
  free(text);
  return found;
}

int identity_resolve(const char *user, struct identity *identity) {
  char name[256], found[256] = "";
  *identity = (struct identity){.home = "/"};
  if (strlen(user) >= sizeof name) return -ENOENT;
  strcpy(name, user);
  char *group = strchr(name, ':');
  if (group) *group++ = 0;
  if (!find_user(name, identity, found, sizeof found)) return -ENOENT;
  if (group) return find_groups(group, NULL, identity) ? 0 : -ENOENT;
  if (*found) find_groups(NULL, found, identity);
  return 0;
}

// The plain system calls: this also runs in a child that shares our memory, where libc must not keep book of threads.
int identity_assume(const struct identity *identity) {
  if (syscall(SYS_setgroups, identity->group_count, identity->groups) < 0) return -1;
  if (syscall(SYS_setresgid, identity->gid, identity->gid, identity->gid) < 0) return -1;
  return (int)syscall(SYS_setresuid, identity->uid, identity->uid, identity->uid);
}
