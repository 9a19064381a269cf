import { api, type ErrorCode } from "@banyan/contracts";
import type { z } from "zod";
import type { RouteDescription } from "./route.ts";

/** The routes that the sandbox's node answers. Described here for the document; what is below them is forwarded as it is. */

const BYTES = "application/octet-stream";
const TAR = "application/x-tar";
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

type Shape = Pick<RouteDescription, "method" | "path" | "operationId" | "summary" | "replies"> &
  Partial<Pick<RouteDescription, "query" | "body" | "bodyType">>;

const describe = (tag: string, errors: readonly ErrorCode[], shapes: Shape[]): RouteDescription[] =>
  shapes.map((shape) => ({ ...shape, path: `${SANDBOX}${shape.path}`, tag, errors, access: "member" }));
const ok = (description: string, schema?: z.ZodType, type?: string): RouteDescription["replies"] => ({
  200: { description, ...(schema && { schema }), ...(type !== undefined && { type }) },
});

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

const files = describe("files", FILE, [
  {
    method: "GET",
    path: "/files/content",
    operationId: "readFile",
    summary: "Read a file; honours `Range: bytes=a-b`",
    query: api.ReadQuery,
    replies: { ...ok("Its bytes.", undefined, BYTES), 206: { description: "The range of them.", type: BYTES } },
  },
  {
    method: "PUT",
    path: "/files/content",
    operationId: "writeFile",
    summary: "Write a file, whole or not at all",
    query: api.WriteQuery,
    bodyType: BYTES,
    replies: ok("It is written.", api.WriteResult),
  },
  {
    method: "GET",
    path: "/files/stat",
    operationId: "statFile",
    summary: "Look at a path",
    query: api.StatQuery,
    replies: ok("What is there.", api.FileInfo),
  },
  {
    method: "GET",
    path: "/files/list",
    operationId: "listFiles",
    summary: "List a directory",
    query: api.ListQuery,
    replies: ok("Its entries.", api.ListResult),
  },
  {
    method: "POST",
    path: "/files/mkdir",
    operationId: "makeDirectory",
    summary: "Make a directory",
    body: api.MkdirBody,
    replies: ok("It is there.", api.FileInfo),
  },
  {
    method: "POST",
    path: "/files/move",
    operationId: "moveFile",
    summary: "Move or rename",
    body: api.MoveBody,
    replies: ok("Where it is now.", api.FileInfo),
  },
  {
    method: "POST",
    path: "/files/remove",
    operationId: "removeFile",
    summary: "Remove",
    body: api.RemoveBody,
    replies: ok("How much went.", api.RemoveResult),
  },
  {
    method: "POST",
    path: "/files/chmod",
    operationId: "chmodFile",
    summary: "Change mode and owner",
    body: api.ChmodBody,
    replies: ok("As it is now.", api.FileInfo),
  },
  {
    method: "GET",
    path: "/files/find",
    operationId: "findFiles",
    summary: "Find by name",
    query: api.FindQuery,
    replies: ok("What was found.", api.FindResult),
  },
  {
    method: "POST",
    path: "/files/grep",
    operationId: "grepFiles",
    summary: "Find by content",
    body: api.GrepBody,
    replies: ok("What was found.", api.GrepResult),
  },
  {
    method: "POST",
    path: "/files/replace",
    operationId: "replaceInFiles",
    summary: "Replace text in files",
    body: api.ReplaceBody,
    replies: ok("What was replaced.", api.ReplaceResult),
  },
  {
    method: "GET",
    path: "/files/tar",
    operationId: "downloadTree",
    summary: "A tree as tar",
    query: api.TarQuery,
    replies: ok("The tar.", undefined, TAR),
  },
  {
    method: "PUT",
    path: "/files/tar",
    operationId: "uploadTree",
    summary: "Unpack a tar; gzip by content-encoding",
    query: api.TarQuery,
    bodyType: TAR,
    replies: ok("How much came.", api.TarResult),
  },
]);

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
