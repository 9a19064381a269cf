import { createHash } from "node:crypto";
import { api } from "@banyan/contracts";
import { readQuery } from "./body.ts";
import { as } from "./files.ts";
import { translating, translatingEach } from "./native-errors.ts";
import type { FileOperation } from "./operation.ts";
import { sendJson } from "./reply.ts";

/** `GET files/checksum`: what a copy compares by, without the bytes on their way. */
export async function checksum({ response, files, query, signal }: FileOperation): Promise<void> {
  const { path, user } = readQuery(query, api.ChecksumQuery);
  const { data } = await translating("content", files.read(path, { signal, ...as(user) }));
  const hash = createHash("sha256");
  let size = 0;
  for await (const chunk of translatingEach("content", data)) {
    hash.update(chunk);
    size += chunk.length;
  }
  sendJson(response, 200, { path, size, sha256: hash.digest("hex") });
}
