/**
 * Docker's default seccomp profile as data: what it resolves to for SLOT_CAPABILITIES on a kernel of 4.8 or later, less some requests of ioctl. What is
 * not named is refused with EPERM; calls newer than all that are named do not exist (ENOSYS), so that programs take what came before them. As in newer
 * engines, io_uring is left out (no filter sees what it does) and so is vsock (it leads to the host of a virtual machine).
 */
const ALLOWED = `
  accept accept4 access adjtimex alarm bind brk capget capset chdir chmod chown chown32 clock_adjtime clock_adjtime64 clock_getres
  clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat
  dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2
  execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchown
  fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs
  fstatfs64 fsync ftruncate ftruncate64 futex futex_time64 futex_waitv futimesat get_robust_list get_thread_area getcpu getcwd getdents
  getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid
  getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid
  gettimeofday getuid getuid32 getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents
  io_pgetevents io_pgetevents_time64 io_setup io_submit ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset
  landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listxattr llistxattr _llseek lremovexattr lseek lsetxattr lstat
  lstat64 madvise membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect
  mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap msgctl msgget
  msgrcv msgsnd msync munlock munlockall munmap nanosleep newfstatat _newselect open openat openat2 pause pidfd_open pidfd_send_signal
  pipe pipe2 poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev
  pwritev2 read readahead readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr rename
  renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
  rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
  sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
  sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg
  sendto set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32
  setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid
  setsockopt setuid setuid32 setxattr shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn socketcall
  socketpair splice stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create
  timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
  timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat utime
  utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev
`;

const ALLOWED_BY_ARCH = {
  x64: ["arch_prctl", "modify_ldt"],
  arm64: ["arm_fadvise64_64", "arm_sync_file_range", "sync_file_range2", "breakpoint", "cacheflush", "set_tls"],
} as const;

/** The native one first, then the 32-bit one. Not x32, which kernels are built without: compiling its filter takes 7 ms of CPU a slot. */
const ARCHITECTURES = {
  x64: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
  arm64: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
} as const;

/** Linux and Linux32, each with and without UNAME26, and the question which one is set. */
const PERSONALITIES = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff];
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET. */
const CLONE_NAMESPACES = 0x7e020000;
const AF_VSOCK = 40;
/**
 * Requests of ioctl are of a type, their second byte. That of btrfs asks for no capability: on a volume root inside could make subvolumes that no quota
 * counts, and read-only ones that nobody can remove. Its requests that other filesystems know as well are let through: to share blocks of files.
 */
const BTRFS_TYPE = 0x94;
const TYPE_BITS = [8, 9, 10, 11, 12, 13, 14, 15];
/** FICLONE, FICLONERANGE, FIDEDUPERANGE. */
const SHARING = [0x40049409, 0x4020940d, 0xc0189436];
const WHOLE_REQUEST = 0xffffffff;
const ENOSYS = 38;

interface SeccompRule {
  names: readonly string[];
  action: "SCMP_ACT_ALLOW" | "SCMP_ACT_ERRNO";
  errnoRet?: number;
  args?: readonly { index: number; value: number; valueTwo?: number; op: string }[];
}

export interface SeccompProfile {
  defaultAction: "SCMP_ACT_ERRNO";
  architectures: readonly string[];
  syscalls: readonly SeccompRule[];
}

export function seccompProfile(arch: string): SeccompProfile {
  const known = arch === "arm64" ? "arm64" : "x64";
  const allow = (names: readonly string[], args?: SeccompRule["args"]): SeccompRule => ({
    names,
    action: "SCMP_ACT_ALLOW",
    ...(args === undefined ? {} : { args }),
  });
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    architectures: ARCHITECTURES[known],
    syscalls: [
      allow([...ALLOWED.trim().split(/\s+/), ...ALLOWED_BY_ARCH[known], "ptrace"]),
      ...PERSONALITIES.map((value) => allow(["personality"], [{ index: 0, value, op: "SCMP_CMP_EQ" }])),
      allow(["socket"], [{ index: 0, value: AF_VSOCK, op: "SCMP_CMP_NE" }]),
      allow(["clone"], [{ index: 0, value: CLONE_NAMESPACES, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }]),
      ...otherIoctls().map((arg) => allow(["ioctl"], [arg])),
      // Its flags are in memory, where no filter sees them. Told that it does not exist, the C library takes clone.
      { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS },
    ],
  };
}

/** A request of another type differs from this one in some bit. What is above the first 32 bits the kernel does not see. */
function otherIoctls(): NonNullable<SeccompRule["args"]>[number][] {
  const request = (mask: number, value: number) => ({ index: 1, value: mask, valueTwo: value, op: "SCMP_CMP_MASKED_EQ" });
  const differing = TYPE_BITS.map((bit) => request(2 ** bit, (BTRFS_TYPE << 8) & (2 ** bit) ? 0 : 2 ** bit));
  return [...differing, ...SHARING.map((value) => request(WHOLE_REQUEST, value))];
}
