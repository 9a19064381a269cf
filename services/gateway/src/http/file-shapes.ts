import { api } from "@banyan/contracts";
import type { z } from "zod";
import type { RouteDescription } from "./route.ts";

export const BYTES = "application/octet-stream";
const TAR = "application/x-tar";

export type Shape = Pick<RouteDescription, "method" | "path" | "operationId" | "summary" | "replies"> &
  Partial<Pick<RouteDescription, "query" | "body" | "bodyType">>;

export const ok = (description: string, schema?: z.ZodType, type?: string): RouteDescription["replies"] => ({
  200: { description, ...(schema && { schema }), ...(type !== undefined && { type }) },
});

/** What can be done with files over HTTP, wherever they lie. */
export const FILE_SHAPES: readonly Shape[] = [
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
    path: "/files/checksum",
    operationId: "checksumFile",
    summary: "The SHA-256 of a file, to compare it without reading it",
    query: api.ChecksumQuery,
    replies: ok("Its size and checksum.", api.ChecksumResult),
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
];
