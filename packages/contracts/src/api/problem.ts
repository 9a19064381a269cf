import { type AppError, type ErrorKind, KINDS } from "@banyan/kernel";
import { z } from "zod";
import { ERRORS, type ErrorCode, isErrorCode } from "../errors.ts";

/** RFC 9457, with what an agent needs to act: a stable code, whether to try again and when, and the next call that would help. */
export const Problem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  code: z.string(),
  retryable: z.boolean(),
  retry_after_ms: z.int().nullable(),
  fix: z.string(),
  request_id: z.string(),
  details: z.record(z.string(), z.unknown()),
});
export type Problem = z.infer<typeof Problem>;

const RETRY_AFTER_MS_DEFAULT = 1_000;
export const PROBLEM_CONTENT_TYPE = "application/problem+json";

/** Codes whose status is more exact than their kind's. */
const STATUS: Partial<Record<ErrorCode, number>> = {
  "request.method_not_allowed": 405,
  "request.too_large": 413,
  "image.not_found": 422,
  "request.invalid": 422,
  "node.none_fits": 422,
};

/** `kind` where it is not the registry's: what is missing is then what the path names. */
export function problemStatus(code: ErrorCode, kind: ErrorKind = ERRORS[code].kind): number {
  return kind === "not_found" ? KINDS.not_found.httpStatus : (STATUS[code] ?? KINDS[kind].httpStatus);
}

/**
 * `details.retryAfterMs` of the error becomes `retry_after_ms`, and says that trying again helps, whatever the kind; `details.fix` goes before the
 * registry's where the case has a better one. Details never hold secrets.
 */
export function toProblem(error: AppError, requestId: string): Problem {
  const code = isErrorCode(error.code) ? error.code : "internal";
  const { message } = ERRORS[code];
  const { retryAfterMs, fix, ...details } = error.details;
  const retryable = KINDS[error.kind].retryable || typeof retryAfterMs === "number";
  return {
    type: `urn:banyan:problem:${code}`,
    title: message,
    status: problemStatus(code, error.kind),
    detail: error.message,
    code,
    retryable,
    retry_after_ms: retryable ? (typeof retryAfterMs === "number" ? Math.ceil(retryAfterMs) : RETRY_AFTER_MS_DEFAULT) : null,
    fix: typeof fix === "string" ? fix : ERRORS[code].fix,
    request_id: requestId,
    details: snakeCased(details) as Problem["details"],
  };
}

/** Inside we speak camelCase, to the public snake_case. */
function snakeCased(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snakeCased);
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).map(([key, member]) => [
    key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    snakeCased(member),
  ]);
  return Object.fromEntries(members);
}
