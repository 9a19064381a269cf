import { api } from "@banyan/contracts";
import type { FileContent } from "@banyan/runtime";
import { bodyOf, readQuery } from "./body.ts";
import { modeOf } from "./file-info.ts";
import { translating, translatingEach } from "./native-errors.ts";
import type { Operation } from "./operation.ts";
import { parseRange } from "./range.ts";
import { type ReplyHeaders, sendJson } from "./reply.ts";
import { sendBytes } from "./send-bytes.ts";

const BYTES = "application/octet-stream";

/** `GET files/content`: the bytes, or a range of them. */
export async function readContent(operation: Operation): Promise<void> {
  const { request, response, sandbox, query, signal } = operation;
  const { path, user } = readQuery(query, api.ReadQuery);
  const options = { signal, ...(user !== undefined && { user }) };
  const { files } = sandbox.init;
  if (request.headers.range === undefined) return send(operation, 200, await translating("content", files.read(path, options)));
  const { size } = await translating("content", files.stat(path, options));
  const range = parseRange(request.headers.range, size);
  if (range.kind === "whole") return send(operation, 200, await translating("content", files.read(path, options)));
  if (range.kind === "unsatisfiable") {
    response.writeHead(416, { "content-range": `bytes */${size}`, "content-length": 0 }).end();
    return;
  }
  const { start, length } = range;
  const part = await translating("content", files.read(path, { ...options, offset: start, length }));
  return send(operation, 206, part, length, { "content-range": `bytes ${start}-${start + length - 1}/${size}` });
}

/** A size of 0 may be that of a file in /proc, which says nothing of what it holds. */
async function send(
  { response }: Operation,
  status: number,
  { entry, data }: FileContent,
  length = entry.size,
  more: ReplyHeaders = {},
): Promise<void> {
  const headers: ReplyHeaders = {
    "content-type": BYTES,
    "accept-ranges": "bytes",
    "last-modified": new Date(entry.mtimeMs).toUTCString(),
    ...more,
  };
  if (length > 0) headers["content-length"] = length;
  response.writeHead(status, headers);
  await sendBytes(response, translatingEach("content", data), length > 0 ? length : undefined);
}

/** `PUT files/content`: the body as it comes; visible when it is whole. */
export async function writeContent({ request, response, sandbox, query, signal }: Operation): Promise<void> {
  const { path, user, mode, append, exclusive, parents } = readQuery(query, api.WriteQuery);
  const flags = { append: append === "true", exclusive: exclusive === "true", parents: parents === "true" };
  const options = { signal, mode: modeOf(mode), ...flags, ...(user !== undefined && { user }) };
  const { bytes } = await translating("content", sandbox.init.files.write(path, bodyOf(request), options));
  sendJson(response, 200, { path, bytes_written: bytes });
}
