// Where a tree is unpacked before it is whole: `trees/<random>` of the host's own directory in the root, so that renames alone bring it to its place.
// Whoever unpacks there holds a lock; what nobody holds was left by a process that ended.
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NAME_TRIES = 8, SWEPT_MAX = 4096, MOUNT_ID_ASKED = 0x1000, STATX_BYTES = 256, MOUNT_ID_AT = 144 };

void name_at_random(char name[32], const char *prefix) {
  uint64_t random = now_us();
  if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0) random ^= (uint64_t)getpid() << 32;
  snprintf(name, 32, "%s%016llx", prefix, (unsigned long long)random);
}

static int open_within(int parent, const char *name, mode_t made) {
  if (made && mkdirat(parent, name, made) < 0 && errno != EEXIST) return -1;
  return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

// One that has no lock yet is empty: whoever is about to begin there finds it gone, and tries again.
static void sweep(int holder) {
  int again = openat(holder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *entries = again < 0 ? NULL : fdopendir(again);
  if (!entries) return;
  int swept = 0;
  for (struct dirent *entry; swept < SWEPT_MAX && (entry = readdir(entries)); swept++) {
    if (entry->d_name[0] == '.') continue;
    int own = open_within(holder, entry->d_name, 0);
    int lock = own < 0 ? -1 : openat(own, "lock", O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (own >= 0 && lock < 0 && errno == ENOENT) unlinkat(holder, entry->d_name, AT_REMOVEDIR);
    if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0) remove_whole(holder, entry->d_name);
    if (lock >= 0) close(lock);
    if (own >= 0) close(own);
  }
  closedir(entries);
}

int stage_open(struct stage *stage) {
  *stage = (struct stage){.holder = -1, .own = -1, .fd = -1};
  int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int own = root < 0 ? -1 : open_within(root, root_own_name(), 0700);
  // Everybody may unpack as themselves, but nobody else comes here: the directory above is root's alone.
  if (own >= 0) stage->holder = open_within(own, "trees", 01777);
  int error = errno;
  if (own >= 0) close(own);
  if (root >= 0) close(root);
  if (stage->holder >= 0) sweep(stage->holder);
  errno = error;
  return stage->holder < 0 ? -1 : 0;
}

void stage_sweep(void) {
  int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int own = root < 0 ? -1 : open_within(root, root_own_name(), 0);
  int holder = own < 0 ? -1 : open_within(own, "trees", 0);
  if (holder >= 0) sweep(holder);
}

// The lock first, and the tree only while it is surely held.
static int begin_once(struct stage *stage) {
  struct stat held, named;
  name_at_random(stage->name, "");
  if (mkdirat(stage->holder, stage->name, 0700) < 0) return -1;
  stage->own = open_within(stage->holder, stage->name, 0);
  int lock = stage->own < 0 ? -1 : openat(stage->own, "lock", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  // Where the filesystem has no locks it is not swept either.
  if (lock < 0 || (flock(lock, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) || fstat(lock, &held) < 0) return -1;
  if (fstatat(stage->own, "lock", &named, AT_SYMLINK_NOFOLLOW) < 0 || named.st_ino != held.st_ino) return -1;
  stage->fd = open_within(stage->own, "tree", 0755);
  return stage->fd < 0 ? -1 : 0;
}

int stage_begin(struct stage *stage) {
  for (int tried = 0; tried < NAME_TRIES; tried++) {
    if (begin_once(stage) == 0) return 0;
    int error = errno;
    stage_end(stage);
    errno = error;
    if (error != ENOENT && error != EEXIST && error != EWOULDBLOCK) return -1;
  }
  return -1;
}

// Of one filesystem, and by one mount of it. A subvolume is told by its directories; files of an overlay have numbers of their own.
static bool place_of(int fd, dev_t *device, uint64_t *mount) {
  unsigned char found[STATX_BYTES];
  struct stat stat;
  if (fstatat(fd, "", &stat, AT_EMPTY_PATH) < 0 || syscall(SYS_statx, fd, "", AT_EMPTY_PATH, MOUNT_ID_ASKED, found) < 0) return false;
  *device = S_ISDIR(stat.st_mode) ? stat.st_dev : 0;
  memcpy(mount, found + MOUNT_ID_AT, sizeof *mount);
  return true;
}

bool stage_reaches(int one, int other) {
  dev_t devices[2];
  uint64_t mounts[2];
  if (!place_of(one, &devices[0], &mounts[0]) || !place_of(other, &devices[1], &mounts[1]) || mounts[0] != mounts[1]) return false;
  return !devices[0] || !devices[1] || devices[0] == devices[1];
}

static bool is_directory(int parent, const char *name) {
  struct stat stat;
  return fstatat(parent, name, &stat, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(stat.st_mode);
}

static int settle(int from, int to, int depth);

static int settle_entry(int from, int to, const char *name, int depth) {
  if (!is_directory(to, name) || !is_directory(from, name)) return renameat(from, name, to, name);
  errno = ENAMETOOLONG;
  if (depth == WALK_DEPTH_MAX) return -1;
  int below = open_within(from, name, 0), place = below < 0 ? -1 : openat(to, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  int result = place < 0 ? -1 : settle(below, place, depth + 1), error = errno;
  if (below >= 0) close(below);
  if (place >= 0) close(place);
  errno = error;
  return result;
}

// What is a directory on both sides is gone through; all else is renamed with whatever is below it.
static int settle(int from, int to, int depth) {
  int again = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *entries = again < 0 ? NULL : fdopendir(again);
  if (!entries) return -1;
  int result = 0;
  for (struct dirent *entry; result == 0 && (entry = readdir(entries));) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    result = settle_entry(from, to, entry->d_name, depth);
  }
  int error = errno;
  closedir(entries);
  errno = error;
  return result;
}

int stage_settle(const struct stage *stage, int to) { return settle(stage->fd, to, 0); }

static uint64_t count_files(int directory, int depth) {
  int again = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *entries = again < 0 ? NULL : fdopendir(again);
  uint64_t count = 0;
  if (!entries) return 0;
  for (struct dirent *entry; (entry = readdir(entries));) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    int below = is_directory(directory, entry->d_name) ? open_within(directory, entry->d_name, 0) : -1;
    if (below < 0) count++;
    else if (depth < WALK_DEPTH_MAX) count += count_files(below, depth + 1);
    if (below >= 0) close(below);
  }
  closedir(entries);
  return count;
}

uint64_t stage_left(const struct stage *stage) { return count_files(stage->fd, 0); }

void stage_end(struct stage *stage) {
  if (stage->own >= 0) remove_whole(stage->holder, stage->name);
  stage->own = -1;
}
