// What the parts of `attach` know of each other.
#ifndef BANYAN_ATTACH_H
#define BANYAN_ATTACH_H

#include <limits.h>

#include "frame.h"

// One request, served by one process, which ends with its reply.
struct task {
  struct message request;
  struct sink sink;
  uint64_t id, started_us;
  // The volume that is being dealt with: part of the step that a failure names.
  const char *place;
};

_Noreturn void task_fail(struct task *task, const char *step, int error);
_Noreturn void task_done(struct task *task);
// Opens an OK reply, for fields to follow.
void task_reply(struct task *task);

// Writes SEED into an upper that is still empty: three times as fast as through the overlay. False when it is not for this way.
bool seed_upper(struct task *task);
// Writes SEED through the mounted tree.
void seed_tree(struct task *task, int tree);
// Layers, top first, with an upper and its work directory.
struct overlay {
  const char *const *lower;
  int count;
  const char *upper, *work;
  bool is_volatile;
};
// A descriptor of the mount, which is nowhere yet; -1 where this kernel does not know `lowerdir+`.
int mount_layer_by_layer(struct task *task, const struct overlay *overlay);
// Before Linux 6.8: all options in one page of mount(2), in a mount namespace of this process, and then a copy of the mount that is nowhere.
int mount_at_once(struct task *task, const struct overlay *overlay);
// A mount namespace of this process alone, once.
void take_own_mounts(struct task *task);
// LOWER, UPPER and WORK as one tree that is mounted nowhere yet.
int mount_overlay(struct task *task);
// Every VOLUME as a mount that is nowhere yet. TREE: as for mount_cow.
void open_volumes(struct task *task, int tree);
// Puts them into the tree, in the mount namespace it is mounted in. -1 with errno and the task's place.
int place_volumes(struct task *task, int tree);
void tell_mount_ids(struct task *task);
// A descriptor of exactly the process that was meant, or a negative errno.
int open_process(const struct message *request);
void serve_mount(struct task *task);
void serve_unmount(struct task *task);
void write_cgroups(struct task *task);
void serve_attach(struct task *task);
void serve_kill(struct task *task);
void serve_cgroup(struct task *task);
void serve_disk_create(struct task *task);
void serve_disk_delete(struct task *task);
void serve_disk_limit(struct task *task);
void serve_disk_usage(struct task *task);
void serve_disk_enable(struct task *task);
void serve_run(struct task *task);
void serve_freeze(struct task *task);

int open_subvolume(struct task *task, const char *path);
int limit_disk(int disk, uint64_t limit);
void create_from_blank(struct task *task, int parent, const char *name, uint64_t limit);
// Takes a snapshot of the subvolume DISK. A negative errno where that fails.
int make_snapshot(int disk, int parent, const char *name, uint64_t flags);
// The parent directory and the last name of an absolute path.
int open_disk_parent(struct task *task, const char *given, char path[PATH_MAX], const char **name);
bool cgroup_path_valid(const char *path);
// Runs ARGV to its end, at most for TIMEOUT_MS. A negative errno where that fails: EIO for an exit code other than 0.
int run_tool_quietly(struct task *task);

#endif
