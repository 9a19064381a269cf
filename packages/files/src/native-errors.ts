import { type ErrorCode, fault } from "@banyan/contracts";
import { AppError } from "@banyan/kernel";
import { NativeError, type NativeErrorCode, type Stays } from "@banyan/runtime";

/** What was being done: the same errno means another thing to a command than to a file. */
export type Area = "exec" | "process" | "file" | "content" | "search" | "port";

/** Words that mean the same whatever was being done. */
const BY_WORD: Partial<Record<NativeErrorCode, ErrorCode>> = {
  not_executable: "exec.not_executable",
  no_such_user: "exec.no_such_user",
  bad_cwd: "exec.bad_cwd",
  too_many: "exec.too_many",
  protocol: "sandbox.protocol",
  connection_lost: "sandbox.protocol",
  timeout: "request.timeout",
  aborted: "request.timeout",
};

const BY_ERRNO: Partial<Record<string, ErrorCode>> = {
  ENOSPC: "file.no_space",
  EDQUOT: "file.no_space",
  ENOMEM: "exec.resources",
  EAGAIN: "exec.resources",
  EMFILE: "exec.resources",
  ENFILE: "exec.resources",
};

const FILE_ERRNOS: Partial<Record<string, ErrorCode>> = {
  ENOENT: "file.not_found",
  EEXIST: "file.exists",
  EACCES: "file.permission_denied",
  EPERM: "file.permission_denied",
  EROFS: "file.permission_denied",
  ENOTDIR: "file.not_a_directory",
  EISDIR: "file.is_a_directory",
  ENOTEMPTY: "file.not_empty",
  EFBIG: "file.too_large",
};

interface AreaTable {
  errnos: Partial<Record<string, ErrorCode>>;
  not_found: ErrorCode;
  bad_request: ErrorCode;
  /** Where nothing else fits. */
  other: ErrorCode;
}

const AREAS: Record<Area, AreaTable> = {
  exec: {
    errnos: { E2BIG: "request.too_large", EEXIST: "process.exists" },
    not_found: "exec.not_found",
    bad_request: "request.invalid",
    other: "exec.not_executable",
  },
  process: {
    errnos: {
      ESRCH: "process.not_found",
      ENOENT: "process.not_found",
      EPIPE: "process.stdin_unavailable",
      ETIMEDOUT: "process.wait_timeout",
    },
    not_found: "process.not_found",
    bad_request: "request.invalid",
    other: "file.failed",
  },
  file: { errnos: FILE_ERRNOS, not_found: "file.not_found", bad_request: "file.failed", other: "file.failed" },
  content: {
    errnos: { ...FILE_ERRNOS, EINVAL: "file.not_regular" },
    not_found: "file.not_found",
    bad_request: "file.failed",
    other: "file.failed",
  },
  search: { errnos: FILE_ERRNOS, not_found: "file.not_found", bad_request: "file.bad_pattern", other: "file.failed" },
  port: {
    errnos: { ECONNREFUSED: "port.refused", ETIMEDOUT: "port.refused" },
    not_found: "port.refused",
    bad_request: "request.invalid",
    other: "port.refused",
  },
};

function codeOf(error: NativeError, area: AreaTable): ErrorCode {
  const byWord = BY_WORD[error.code];
  if (byWord) return byWord;
  if (error.code === "not_found") return area.not_found;
  return area.errnos[error.errnoName] ?? BY_ERRNO[error.errnoName] ?? (error.code === "bad_request" ? area.bad_request : area.other);
}

/** The one place where what init said becomes one of our own errors. */
export function fromNative(thrown: unknown, area: Area): unknown {
  if (!(thrown instanceof NativeError)) return thrown;
  // Init was told to stop because our own source of content failed: that failure is what happened.
  if (thrown.cause instanceof AppError) return telling(thrown.cause, thrown.stays);
  return translated(thrown, AREAS[area]);
}

function telling(error: AppError, stays: Stays | undefined): AppError {
  if (stays === undefined) return error;
  const { kind, code, message, details } = error;
  return new AppError({ kind, code, message, details: { ...details, ...detailsOf(stays) }, cause: error });
}

const detailsOf = ({ files, last }: Stays) => ({ filesUnpacked: files, lastUnpacked: last });

const MESSAGE_SHOWN_MAX = 512;
function translated(error: NativeError, area: AreaTable): AppError {
  // The text comes from inside the sandbox: shown to its owner, bounded, and never trusted for more.
  const told = { errno: error.errnoName || null, reason: error.message.slice(0, MESSAGE_SHOWN_MAX) };
  const details = { ...told, ...(error.stays && detailsOf(error.stays)) };
  return fault(codeOf(error, area), details, { cause: error });
}

export async function translating<T>(area: Area, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (thrown) {
    throw fromNative(thrown, area);
  }
}

export async function* translatingEach<T>(area: Area, source: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
  try {
    yield* source;
  } catch (thrown) {
    throw fromNative(thrown, area);
  }
}
