import type { api } from "@banyan/contracts";

/** Where the request never got an answer. */
const NO_ANSWER = "client.no_answer";

export interface BanyanErrorInit {
  code: string;
  message: string;
  status: number | null;
  retryable: boolean;
  retryAfterMs: number | null;
  fix: string;
  requestId: string | null;
  details: Record<string, unknown>;
  cause?: unknown;
}

/** Every failure of a call: `code` says what happened, `retryable` whether to try again, `fix` the next call that would help. */
export class BanyanError extends Error {
  override readonly name = "BanyanError";
  readonly code: string;
  /** The HTTP status; null where there was no answer. */
  readonly status: number | null;
  readonly retryable: boolean;
  readonly retryAfterMs: number | null;
  readonly fix: string;
  /** Names the request in the server's logs. */
  readonly requestId: string | null;
  readonly details: Record<string, unknown>;

  constructor(init: BanyanErrorInit) {
    super(init.message, { cause: init.cause });
    this.code = init.code;
    this.status = init.status;
    this.retryable = init.retryable;
    this.retryAfterMs = init.retryAfterMs;
    this.fix = init.fix;
    this.requestId = init.requestId;
    this.details = init.details;
  }
}

export function isBanyanError(thrown: unknown, ...codes: string[]): thrown is BanyanError {
  return thrown instanceof BanyanError && (codes.length === 0 || codes.includes(thrown.code));
}

export function fromProblem(problem: api.Problem): BanyanError {
  return new BanyanError({
    code: problem.code,
    message: problem.detail,
    status: problem.status,
    retryable: problem.retryable,
    retryAfterMs: problem.retry_after_ms,
    fix: problem.fix,
    requestId: problem.request_id,
    details: problem.details,
  });
}

/** An answer that is no problem document comes from something in between: a proxy, another server. */
export async function fromResponse(response: Response): Promise<BanyanError> {
  const text = await response.text();
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === "object" && body !== null && "code" in body && "detail" in body) return fromProblem(body as api.Problem);
  } catch {
    // Not JSON: shown below as it is.
  }
  return new BanyanError({
    code: "client.unexpected_answer",
    message: `${response.url} answered ${response.status}: ${text.slice(0, 200)}`,
    status: response.status,
    retryable: response.status >= 500,
    retryAfterMs: null,
    fix: "Check that the address is that of a Banyan gateway.",
    requestId: response.headers.get("x-request-id"),
    details: {},
  });
}

export function fromFailure(cause: unknown, url: string): BanyanError {
  const reason = cause instanceof Error ? (cause.cause instanceof Error ? cause.cause.message : cause.message) : String(cause);
  return new BanyanError({
    code: NO_ANSWER,
    message: `${url} did not answer: ${reason}`,
    status: null,
    retryable: true,
    retryAfterMs: null,
    fix: "Check the address (BANYAN_URL) and that the gateway runs.",
    requestId: null,
    details: {},
    cause,
  });
}
