import { api, fault } from "@banyan/contracts";
import type { FileContent, FileEntry } from "@banyan/runtime";
import { admitted, bodyOf, readQuery } from "./body.ts";
import { modeOf } from "./file-info.ts";
import { translating, translatingEach } from "./native-errors.ts";
import type { FileOperation } from "./operation.ts";
import { parseRange } from "./range.ts";
import { type ReplyHeaders, sendJson } from "./reply.ts";
import { sendBytes } from "./send-bytes.ts";

const BYTES = "application/octet-stream";

/** `GET files/content`: the bytes, or a range of them. */
export async function readContent(operation: FileOperation): Promise<void> {
  const { request, response, files, query, signal } = operation;
  const { path, user } = readQuery(query, api.ReadQuery);
  const options = { signal, ...(user !== undefined && { user }) };
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

/** `HEAD files/content`: what a reading would be told before its bytes. */
export async function headContent({ response, files, query, signal }: FileOperation): Promise<void> {
  const { path, user } = readQuery(query, api.ReadQuery);
  const entry = await translating("content", files.stat(path, { signal, ...(user !== undefined && { user }) }));
  if (entry.type !== "file") throw fault(entry.type === "directory" ? "file.is_a_directory" : "file.not_regular", { path });
  response.writeHead(200, { ...headersOf(entry), ...(entry.size > 0 && { "content-length": entry.size }) }).end();
}

const headersOf = (entry: FileEntry): ReplyHeaders => ({
  "content-type": BYTES,
  "accept-ranges": "bytes",
  "last-modified": new Date(entry.mtimeMs).toUTCString(),
});

/** A size of 0 may be that of a file in /proc, which says nothing of what it holds. */
async function send(
  { response }: FileOperation,
  status: number,
  { entry, data }: FileContent,
  length = entry.size,
  more: ReplyHeaders = {},
): Promise<void> {
  const headers: ReplyHeaders = { ...headersOf(entry), ...more };
  if (length > 0) headers["content-length"] = length;
  response.writeHead(status, headers);
  await sendBytes(response, translatingEach("content", data), length > 0 ? length : undefined);
}

/** `PUT files/content`: the body as it comes; visible when it is whole. */
export async function writeContent({ request, response, files, query, signal, admit }: FileOperation): Promise<void> {
  const { path, user, mode, append, exclusive, parents } = readQuery(query, api.WriteQuery);
  const flags = { append: append === "true", exclusive: exclusive === "true", parents: parents === "true" };
  const options = { signal, mode: modeOf(mode), ...flags, ...(user !== undefined && { user }) };
  const body = admit === undefined ? bodyOf(request) : admitted(bodyOf(request), admit);
  const { bytes } = await translating("content", files.write(path, body, options));
  sendJson(response, 200, { path, bytes_written: bytes });
}
