import { type ErrorCode, fault } from "@banyan/contracts";
import { fromNative } from "@banyan/files";
import { AppError } from "@banyan/kernel";

/** What means something else of a volume than of a sandbox. */
const CODES: Partial<Record<string, ErrorCode>> = {
  "file.no_space": "volume.no_space",
  "sandbox.protocol": "volume.unreachable",
  "exec.too_many": "volume.unreachable",
  "exec.resources": "volume.unreachable",
};
/** What a filesystem over the network says when the other side is gone. */
const LOST: ReadonlySet<unknown> = new Set(["EIO", "ESTALE", "ENOTCONN", "EHOSTDOWN", "EHOSTUNREACH", "ETIMEDOUT", "EREMOTEIO", "ENODEV"]);
const RETRY_AFTER_MS = 1_000;

/** What came of something that was done with the files of a volume, as it is told. */
export function volumeFault(thrown: unknown, volumeId: string): unknown {
  const error = fromNative(thrown, "content");
  if (!(error instanceof AppError)) return error;
  const code = LOST.has(error.details.errno) ? "volume.unreachable" : CODES[error.code];
  if (code === undefined) return error;
  const details = { ...error.details, volumeId, ...(code === "volume.unreachable" && { retryAfterMs: RETRY_AFTER_MS }) };
  // Not the volume's bound, but that of what it lies on.
  const isStoreFull = code === "volume.no_space" && error.details.errno === "ENOSPC";
  return fault(code, details, { ...(isStoreFull && { message: "The store that the volume lies in is full." }), cause: error });
}
