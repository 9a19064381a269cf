/** What the caller may do about a failure. */
export type ErrorKind =
  | "invalid"
  | "unauthenticated"
  | "forbidden"
  | "not_found"
  | "conflict"
  | "exhausted"
  | "unavailable"
  | "timeout"
  | "internal";

/** The one table from kind to what each edge makes of it. */
export const KINDS: Record<ErrorKind, { httpStatus: number; retryable: boolean; logLevel: "debug" | "info" | "warn" | "error" }> = {
  invalid: { httpStatus: 400, retryable: false, logLevel: "debug" },
  unauthenticated: { httpStatus: 401, retryable: false, logLevel: "info" },
  forbidden: { httpStatus: 403, retryable: false, logLevel: "info" },
  not_found: { httpStatus: 404, retryable: false, logLevel: "debug" },
  conflict: { httpStatus: 409, retryable: false, logLevel: "debug" },
  exhausted: { httpStatus: 429, retryable: true, logLevel: "info" },
  unavailable: { httpStatus: 503, retryable: true, logLevel: "warn" },
  timeout: { httpStatus: 504, retryable: true, logLevel: "warn" },
  internal: { httpStatus: 500, retryable: false, logLevel: "error" },
};

export interface AppErrorInit {
  kind: ErrorKind;
  code: string;
  message: string;
  details?: Record<string, unknown>;
  cause?: unknown;
}

/** The only error class that crosses a boundary: `kind` says what the caller may do, `code` what happened. */
export class AppError extends Error {
  override readonly name = "AppError";
  readonly kind: ErrorKind;
  readonly code: string;
  readonly details: Record<string, unknown>;

  constructor(init: AppErrorInit) {
    super(init.message, { cause: init.cause });
    this.kind = init.kind;
    this.code = init.code;
    this.details = init.details ?? {};
  }
}

/** The message of anything thrown, for logs and details. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
