import { fault } from "@banyan/contracts";
import { FILE_ROUTES, sendNothing } from "@banyan/files";
import { diff } from "./diff.ts";
import { exec } from "./exec.ts";
import type { Handler } from "./operation.ts";
import { portRequest } from "./ports.ts";
import { processOutput } from "./process-output.ts";
import { listProcesses, readProcess, signalProcess, startProcess, waitForProcess, writeStdin } from "./processes.ts";
import type { StoredHandler } from "./stored-operation.ts";

interface Route {
  method: string;
  /** `:name` takes any one part. */
  parts: readonly string[];
  handler: Handler;
}

const route = (method: string, pattern: string, handler: Handler): Route => ({
  method,
  parts: pattern === "" ? [] : pattern.split("/"),
  handler,
});

/** Everything a node does for a sandbox over HTTP, below `/sandboxes/{id}`. The most frequent first. */
const ROUTES: readonly Route[] = [
  route("POST", "exec", exec),
  // Nothing but whether the sandbox runs here in this incarnation.
  route("GET", "", async ({ response }) => sendNothing(response)),
  ...FILE_ROUTES.map(({ method, path, handler }) =>
    route(method, `files/${path}`, (operation) => handler({ ...operation, files: operation.sandbox.init.files })),
  ),
  route("POST", "processes", startProcess),
  route("GET", "processes", listProcesses),
  route("GET", "processes/:process", readProcess),
  route("GET", "processes/:process/stdout", processOutput),
  route("GET", "processes/:process/stderr", processOutput),
  route("POST", "processes/:process/stdin", writeStdin),
  route("POST", "processes/:process/signal", signalProcess),
  route("POST", "processes/:process/wait", waitForProcess),
];

/** What needs a sandbox's files alone: they are answered of a stopped one too. By path, all of them GET. */
const STORED_ROUTES: Readonly<Record<string, StoredHandler>> = { diff };

/** Null where the path is none of them. Throws request.method_not_allowed. */
export function matchStored(method: string, path: string): StoredHandler | null {
  const handler = Object.hasOwn(STORED_ROUTES, path) ? STORED_ROUTES[path] : undefined;
  if (handler === undefined) return null;
  if (method !== "GET") throw fault("request.method_not_allowed", { allow: ["GET"] });
  return handler;
}

export interface Matched {
  handler: Handler;
  params: Record<string, string>;
  rest: string;
}

const PORT = /^ports\/(\d{1,5})(\/.*)?$/s;

/** `path` is what follows `/sandboxes/{id}/`, not decoded. Throws request.not_found or request.method_not_allowed. */
export function matchRoute(method: string, path: string): Matched {
  const port = PORT.exec(path);
  if (port) return { handler: portRequest, params: { port: port[1] ?? "" }, rest: port[2] ?? "/" };
  const parts = path === "" ? [] : path.split("/");
  const allow: string[] = [];
  for (const candidate of ROUTES) {
    const params = matchParts(candidate.parts, parts);
    if (!params) continue;
    if (candidate.method === method) return { handler: candidate.handler, params, rest: "" };
    allow.push(candidate.method);
  }
  if (path === "pty") throw fault("request.invalid", {}, { message: "A pty is reached by a WebSocket upgrade." });
  throw allow.length > 0 ? fault("request.method_not_allowed", { allow }) : fault("request.not_found");
}

function matchParts(pattern: readonly string[], parts: readonly string[]): Record<string, string> | null {
  if (pattern.length !== parts.length) return null;
  const params: Record<string, string> = {};
  for (const [index, wanted] of pattern.entries()) {
    const given = parts[index] ?? "";
    if (wanted.startsWith(":")) params[wanted.slice(1)] = given;
    else if (wanted !== given) return null;
  }
  return params;
}
