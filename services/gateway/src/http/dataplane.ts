import { api, type ErrorCode } from "@banyan/contracts";
import { BYTES, FILE_SHAPES, ok, type Shape } from "./file-shapes.ts";
import type { RouteDescription } from "./route.ts";

/** The routes that the sandbox's node answers. Described here for the document; what is below them is forwarded as it is. */

const SANDBOX = "/v1/sandboxes/{id}";
const ANY: readonly ErrorCode[] = ["sandbox.not_found", "sandbox.not_running", "sandbox.protocol", "node.unreachable"];
const EXEC: readonly ErrorCode[] = [
  ...ANY,
  "exec.not_found",
  "exec.not_executable",
  "exec.bad_cwd",
  "exec.no_such_user",
  "exec.resources",
  "exec.too_many",
];
const FILE: readonly ErrorCode[] = [...ANY, "file.not_found", "file.permission_denied", "file.not_a_directory", "file.failed"];
const PROCESS: readonly ErrorCode[] = [...ANY, "process.not_found"];

const describe = (tag: string, errors: readonly ErrorCode[], shapes: readonly Shape[]): RouteDescription[] =>
  shapes.map((shape) => ({ ...shape, path: `${SANDBOX}${shape.path}`, tag, errors, access: "member" }));

const exec = describe("exec", EXEC, [
  {
    method: "POST",
    path: "/exec",
    operationId: "exec",
    summary: "Run a command and wait for its end. With `Accept: text/event-stream`: the events stdout, stderr, exit, error as they happen",
    body: api.ExecBody,
    replies: ok("How it ended, and what it wrote.", api.ExecResult),
  },
]);

const processes = describe("processes", PROCESS, [
  {
    method: "POST",
    path: "/processes",
    operationId: "startProcess",
    summary: "Start a command in the background",
    body: api.SpawnBody,
    replies: { 201: { description: "It runs.", schema: api.Process } },
  },
  {
    method: "GET",
    path: "/processes",
    operationId: "listProcesses",
    summary: "List background processes",
    replies: ok("All of them.", api.ProcessList),
  },
  { method: "GET", path: "/processes/{pid}", operationId: "getProcess", summary: "Look at one", replies: ok("As it is.", api.Process) },
  {
    method: "GET",
    path: "/processes/{pid}/stdout",
    operationId: "readStdout",
    summary: "Read output from a byte offset; `x-banyan-next-offset` says where to go on. With follow=true until its end",
    query: api.OutputQuery,
    replies: ok("Raw bytes.", undefined, BYTES),
  },
  {
    method: "GET",
    path: "/processes/{pid}/stderr",
    operationId: "readStderr",
    summary: "The same for standard error",
    query: api.OutputQuery,
    replies: ok("Raw bytes.", undefined, BYTES),
  },
  {
    method: "POST",
    path: "/processes/{pid}/stdin",
    operationId: "writeStdin",
    summary: "Write to its standard input; `?close=true` ends it after that",
    query: api.StdinQuery,
    bodyType: BYTES,
    replies: { 204: { description: "It was written." } },
  },
  {
    method: "POST",
    path: "/processes/{pid}/signal",
    operationId: "signalProcess",
    summary: "Send it a signal",
    body: api.SignalBody,
    replies: { 204: { description: "It was sent." } },
  },
  {
    method: "POST",
    path: "/processes/{pid}/wait",
    operationId: "waitProcess",
    summary: "Wait for its end",
    body: api.WaitBody,
    replies: ok("It has ended.", api.Process),
  },
]);

const files = describe("files", FILE, FILE_SHAPES);

const ports = describe(
  "ports",
  [...ANY, "port.refused", "port.no_answer"],
  [
    {
      method: "POST",
      path: "/ports/{port}/links",
      operationId: "createLink",
      summary: "A signed, expiring link to a port, for those without a key",
      body: api.CreateLinkBody,
      replies: ok("The link.", api.Link),
    },
    {
      method: "GET",
      path: "/ports/{port}/{path}",
      operationId: "reachPort",
      summary: "Any method, and WebSocket, to a server inside; also as `{port}-{id with - for _}.<host>`",
      replies: ok("What the server in the sandbox answers.", undefined, "*/*"),
    },
  ],
);

const terminals = describe("pty", EXEC, [
  {
    method: "GET",
    path: "/pty",
    operationId: "openTerminal",
    summary: "A terminal over WebSocket: binary frames are its bytes, text frames control; `?api_key=` where headers cannot be set",
    query: api.PtyQuery,
    replies: { 101: { description: "Switched to WebSocket." } },
  },
]);

export const dataPlaneRoutes: RouteDescription[] = [...exec, ...processes, ...files, ...ports, ...terminals];
