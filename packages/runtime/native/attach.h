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
};

_Noreturn void task_fail(struct task *task, const char *step, int error);
_Noreturn void task_done(struct task *task);
// Opens an OK reply, for fields to follow.
void task_reply(struct task *task);

// Writes SEED into an upper that is still empty: three times as fast as through the overlay. False when it is not for this way.
bool seed_upper(struct task *task);
// Writes SEED through the mounted tree.
void seed_tree(struct task *task, int tree);
// LOWER, UPPER and WORK as one tree that is mounted nowhere yet.
int mount_overlay(struct task *task);
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

// The subvolume that PATH names.
int open_subvolume(struct task *task);
// The parent directory and the last name of an absolute path.
int open_disk_parent(struct task *task, const char *given, char path[PATH_MAX], const char **name);
bool cgroup_path_valid(const char *path);
// Runs ARGV to its end, at most for TIMEOUT_MS. A negative errno where that fails: EIO for an exit code other than 0.
int run_tool_quietly(struct task *task);

#endif
