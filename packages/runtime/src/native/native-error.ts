import { constants } from "node:os";

/** By number. Where a number has two names, the first is the one people know: EAGAIN, not EWOULDBLOCK. */
const ERRNO_NAMES = new Map(
  Object.entries(constants.errno)
    .toReversed()
    .map(([name, number]) => [number, name]),
);

/** What `code` can be: the words of PROTOCOL.md, and those for what goes wrong on this side of the socket. */
export type NativeErrorCode =
  | "not_found"
  | "not_executable"
  | "no_such_user"
  | "bad_cwd"
  | "bad_request"
  | "too_many"
  | "errno"
  | "protocol"
  | "connection_lost"
  | "timeout"
  | "aborted";

export interface NativeErrorOptions {
  errno?: number;
  step?: string;
  stays?: Stays;
  cause?: unknown;
}

/** What a tree that was refused has put in place already, where that could not be held back. */
export interface Stays {
  /** All but directories. */
  files: number;
  last: string | null;
}

/** A failure that `init` or `attach` told, or that kept them from telling. The runner maps it to its own errors. */
export class NativeError extends Error {
  override readonly name = "NativeError";
  readonly code: NativeErrorCode;
  /** The kernel's number, 0 when none was told. */
  readonly errno: number;
  /** What `attach` was doing. */
  readonly step: string | undefined;
  readonly stays: Stays | undefined;

  constructor(code: NativeErrorCode, message: string, options: NativeErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.errno = options.errno ?? 0;
    this.step = options.step;
    this.stays = options.stays;
  }

  /** `ENOENT` for 2; an empty text when no number was told, or none that has a name here. */
  get errnoName(): string {
    return ERRNO_NAMES.get(this.errno) ?? "";
  }
}

export function protocolViolation(problem: string): NativeError {
  return new NativeError("protocol", `protocol violation: ${problem}`);
}
