// What the parts that mount volumes know of each other.
#ifndef BANYAN_VOLUME_H
#define BANYAN_VOLUME_H

#include "attach.h"

// One VOLUME of a request: its six texts, and what has become of it.
struct volume {
  const char *mode, *target, *source, *subpath, *cow, *work;
  // Its mount, until it is placed nowhere.
  int mount;
  bool is_file;
  uint64_t mount_id;
};

// As openat2, with O_CLOEXEC, and again when a rename somewhere else on the host has disturbed it.
int open_resolved(int directory, const char *path, int flags, uint64_t resolve);
// -1, with errno.
int refuse(int error);
// A mount of the directory SOURCE with a private writable layer above it; -1 where this kernel wants all layers at once and AT_ONCE is not set.
// TREE: the root of a running sandbox, whose own files the layer is part of; -1 while nothing runs on its UPPER.
int mount_cow(struct task *task, const struct volume *volume, int source, int tree, bool at_once);

#endif
