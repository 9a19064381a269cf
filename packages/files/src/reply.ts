import type { ServerResponse } from "node:http";
import { api, fault, isErrorCode } from "@banyan/contracts";
import { AppError, KINDS, type Logger } from "@banyan/kernel";

export type ReplyHeaders = Record<string, string | number>;

export function sendJson(response: ServerResponse, status: number, value: unknown, headers: ReplyHeaders = {}): void {
  const body = JSON.stringify(value);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(body), ...headers });
  response.end(body);
}

export function sendNothing(response: ServerResponse): void {
  response.writeHead(204);
  response.end();
}

/** A failure before the answer began becomes a problem document; after that, only an answer broken off can still tell. */
export function sendProblem(response: ServerResponse, thrown: unknown, requestId: string, logger: Logger): void {
  // Nobody is there to be told; that the caller left is what ended the operation.
  if (response.destroyed) return void logger.debug({ err: thrown, requestId }, "the caller left");
  const error = toAppError(thrown, requestId, logger);
  if (response.headersSent) return void response.destroy();
  const problem = api.toProblem(error, requestId);
  sendJson(response, problem.status, problem, problemHeaders(problem));
}

export function problemHeaders(problem: api.Problem): ReplyHeaders {
  const headers: ReplyHeaders = { "content-type": api.PROBLEM_CONTENT_TYPE, [api.ERROR_CODE_HEADER]: problem.code };
  if (problem.retry_after_ms !== null) headers["retry-after"] = Math.ceil(problem.retry_after_ms / 1000);
  return headers;
}

export function toAppError(thrown: unknown, requestId: string, logger: Logger): AppError {
  const known = thrown instanceof AppError && isErrorCode(thrown.code);
  const error = known ? thrown : fault("internal", {}, { cause: thrown });
  logger[KINDS[error.kind].logLevel]({ err: thrown, requestId, code: error.code }, "operation failed");
  return error;
}
