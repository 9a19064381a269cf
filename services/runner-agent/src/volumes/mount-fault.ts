import { fault, type MountOrder } from "@banyan/contracts";
import type { AppError } from "@banyan/kernel";
import { NativeError } from "@banyan/runtime";

const RETRY_AFTER_MS = 5_000;
/** What a network filesystem says that has lost its server. */
const GONE = ["EIO", "ESTALE", "ENOTCONN", "ETIMEDOUT", "EHOSTDOWN", "EHOSTUNREACH", "ECONNREFUSED", "ENXIO", "ENODEV"];
const MISSING = ["ENOENT", "ENOTDIR", "ELOOP", "EXDEV", "EINVAL"];
const TARGET_REASONS: Record<string, string> = {
  EXDEV: "the path leads to another mount, of a volume or of the kernel",
  EBUSY: "the path leads to the root",
  ENOENT: "the path leads through a symlink to nothing",
  ENOTDIR: "something on the path, or at its end, is not a directory",
  EISDIR: "a file of a volume cannot be mounted on a directory",
  ELOOP: "the path leads through too many symlinks",
  EINVAL: "what is there is neither a file nor a directory",
};

/** What the helper's failure means to whoever asked for these mounts; null where it is not about them. */
export function mountFault(error: unknown, mounts: readonly MountOrder[]): AppError | null {
  if (!(error instanceof NativeError) || mounts.length === 0) return null;
  // It ends whoever waits for a filesystem that does not answer.
  if (error.step === "task" || error.code === "timeout") return unreachable(mounts[0], error);
  const [, step, path] = /^(.*?) at (\/.*)$/s.exec(error.step ?? "") ?? [];
  const mount = mounts.find((each) => path !== undefined && each.path.startsWith(path));
  if (step === undefined || mount === undefined) return null;
  const { errnoName: errno } = error;
  const about = { path: mount.path, volume: mount.source.volumeId, step, errno };
  if (step === "target" && errno in TARGET_REASONS) return refused(about, TARGET_REASONS[errno] ?? "", error);
  if (step === "cow" && errno === "ENOTDIR") return refused(about, "only a directory can be mounted `cow`", error);
  if (step === "cow directory" && (errno === "ENOTDIR" || errno === "ELOOP"))
    return refused(about, "/.banyan/cow of the sandbox is not a directory, and its changes belong there", error);
  if (GONE.includes(errno)) return unreachable(mount, error);
  if (step === "source" && MISSING.includes(errno)) return fault("volume.not_found", about, { cause: error });
  if (step === "subpath" && MISSING.includes(errno))
    return fault("volume.subpath_not_found", { ...about, subpath: mount.subpath }, { cause: error });
  return fault("volume.mount_failed", { ...about, reason: error.message }, { cause: error });
}

function refused(about: object, reason: string, cause: unknown): AppError {
  return fault("mount.refused", { ...about, reason }, { cause });
}

function unreachable(mount: MountOrder | undefined, cause: NativeError): AppError {
  const about = { path: mount?.path, volume: mount?.source.volumeId, store: mount?.source.store };
  return fault("volume.unreachable", { ...about, reason: cause.message, retryAfterMs: RETRY_AFTER_MS }, { cause });
}
