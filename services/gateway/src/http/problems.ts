import { api, fault } from "@banyan/contracts";
import { AppError, KINDS, messageOf } from "@banyan/kernel";
import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { z } from "zod";
import type { HttpEnv } from "./context.ts";

const ISSUES_SHOWN_MAX = 20;
/** What is no object at all was meant as none of the objects. */
const WRONG_TYPE = 10;

/** Anything thrown, as what may be shown. What is not ours is `internal` and says nothing of its inside. */
export function asAppError(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  if (thrown instanceof HTTPException && thrown.status < 500)
    return fault("request.invalid", { status: thrown.status }, { message: thrown.message });
  return fault("internal", {}, { cause: thrown });
}

/** The one place where an error becomes a reply. */
export function problemReply(c: Context<HttpEnv>, error: AppError): Response {
  const problem = api.toProblem(error, c.get("requestId") ?? "");
  const headers: Record<string, string> = { "content-type": api.PROBLEM_CONTENT_TYPE };
  if (problem.retry_after_ms !== null) headers["retry-after"] = String(Math.ceil(problem.retry_after_ms / 1_000));
  if (error.kind === "unauthenticated") headers["www-authenticate"] = 'Bearer realm="banyan"';
  if (error.code === "request.method_not_allowed") headers.allow = [error.details.allow].flat().join(", ");
  return c.body(JSON.stringify(problem), problem.status as ContentfulStatusCode, headers);
}

export function logLevelOf(error: AppError): "debug" | "info" | "warn" | "error" {
  return KINDS[error.kind].logLevel;
}

/** The schema's complaints, each with the path of the field as the caller wrote it. */
export function invalid(error: z.ZodError, where: "body" | "query"): AppError {
  const issues = error.issues.flatMap(flatten).slice(0, ISSUES_SHOWN_MAX);
  const first = issues[0];
  const message = first ? `${first.path === "" ? `The ${where}` : `\`${first.path}\``}: ${first.message}` : messageOf(error);
  return fault("request.invalid", { in: where, issues }, { message });
}

/** An unknown field is named itself, not the object it is in; of a union what is wrong with the alternative that was meant. */
function flatten(issue: z.core.$ZodIssue): { path: string; message: string }[] {
  if (issue.code === "invalid_union" && issue.errors.length > 0) {
    return meant(issue.errors).flatMap((inner) => flatten({ ...inner, path: [...issue.path, ...inner.path] }));
  }
  if (issue.code === "unrecognized_keys")
    return issue.keys.map((key) => ({ path: pathOf([...issue.path, key]), message: "unknown field" }));
  return [{ path: pathOf(issue.path), message: issue.message }];
}

/** The alternative that differs least in its shape: in what it is, which members it has, and which it lacks. */
function meant(alternatives: z.core.$ZodIssue[][]): z.core.$ZodIssue[] {
  const strangeness = (issues: z.core.$ZodIssue[]): number => issues.reduce((sum, issue) => sum + strangenessOf(issue), 0);
  return alternatives.reduce((best, other) => (strangeness(other) < strangeness(best) ? other : best));
}

function strangenessOf({ code, path }: z.core.$ZodIssue): number {
  if (code === "invalid_type" && path.length === 0) return WRONG_TYPE;
  return code === "unrecognized_keys" || code === "invalid_type" ? 1 : 0;
}

const pathOf = (path: readonly PropertyKey[]): string => path.map(String).join(".");
