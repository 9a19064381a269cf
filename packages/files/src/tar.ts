import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { api, fault } from "@banyan/contracts";
import { AppError, messageOf } from "@banyan/kernel";
import type { TreePart } from "@banyan/runtime";
import { type Extract, extract } from "tar-stream";
import { bodyOf, readQuery } from "./body.ts";
import { as } from "./files.ts";
import { translating, translatingEach } from "./native-errors.ts";
import type { FileOperation } from "./operation.ts";
import { sendJson } from "./reply.ts";
import { sendBytes } from "./send-bytes.ts";
import { tarOf } from "./tar-encode.ts";
import { treeEntryOf } from "./tar-entry.ts";

const ENTRIES_MAX = 1_000_000;

/** `GET files/tar`: the tree below a path. */
export async function readTar({ response, files, query, signal }: FileOperation): Promise<void> {
  const { path, user } = readQuery(query, api.TarQuery);
  const parts = files.treeRead(path, { signal, ...as(user) });
  // What is wrong with the path is said before the first entry: then it can still be answered with a problem.
  const first = await translating("file", parts.next());
  response.writeHead(200, { "content-type": "application/x-tar" });
  await sendBytes(response, tarOf(startingWith(first.done ? [] : [first.value], translatingEach("file", parts))));
}

async function* startingWith<T>(first: Iterable<T>, rest: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
  yield* first;
  yield* rest;
}

/** `PUT files/tar`: unpacks what somebody sent, all of it or nothing where renames are cheap. What of a refused one stays is told. */
export async function writeTar({ request, response, files, query, signal, admit, isRenameCostly = false }: FileOperation): Promise<void> {
  const { path, user, parents } = readQuery(query, api.TarQuery);
  // Names as bytes, one to a character: what is not UTF-8 must not be lost here.
  const archive = extract({ filenameEncoding: "latin1" } as Parameters<typeof extract>[0]);
  const zipped = request.headers["content-encoding"] === "gzip";
  const feeding = zipped ? pipeline(bodyOf(request), createGunzip(), archive) : pipeline(bodyOf(request), archive);
  // Its failure destroys the archive, and comes to light where the parts are read.
  feeding.catch(() => undefined);
  try {
    const options = { signal, parents: parents === "true", whole: !isRenameCostly, ...as(user) };
    const { entries } = await translating("file", files.treeWrite(path, treeParts(archive, admit), options));
    sendJson(response, 200, { entries });
  } finally {
    archive.destroy();
  }
}

async function* treeParts(archive: Extract, admit?: (bytes: number) => void): AsyncGenerator<TreePart, void, undefined> {
  let entries = 0;
  try {
    for await (const source of archive) {
      if (++entries > ENTRIES_MAX) throw fault("request.too_large", { maxEntries: ENTRIES_MAX });
      const entry = treeEntryOf(source.header);
      admit?.(entry.size);
      yield { entry };
      for await (const data of source) if (data instanceof Uint8Array && entry.type === "file") yield { data };
    }
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    throw fault("request.invalid", {}, { message: `The body is not a whole, valid tar: ${messageOf(cause)}.`, cause });
  }
}
