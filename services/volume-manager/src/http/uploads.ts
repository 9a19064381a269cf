import type { IncomingMessage } from "node:http";
import { api, fault, LIMITS, UploadId } from "@banyan/contracts";
import { readBytes, readJson, readQuery, sendJson, sendNothing } from "@banyan/files";
import type { UploadRow } from "../store/uploads-schema.ts";
import type { UploadRef } from "../uploads/uploads.ts";
import { pick } from "./match.ts";
import type { Operation } from "./operation.ts";

type UploadHandler = (operation: Operation, ref: UploadRef) => Promise<void>;

/** Somebody slower than that sends smaller ones, and keeps no place for ever. */
const PART_DEADLINE_MS = 120_000;

const UPLOADS = [{ method: "POST", handler: create }] as const;
const UPLOAD = [
  { method: "PUT", handler: put },
  { method: "GET", handler: look },
  { method: "DELETE", handler: remove },
] as const;
const COMPLETE = [{ method: "POST", handler: complete }] as const;
const PATH = /^uploads(?:\/([^/]*)(\/complete)?)?$/;

/** `/volumes/{id}/uploads…`: large files in parts. */
export async function serveUploads(operation: Operation, path: string): Promise<void> {
  const { request, orgId, volumeId } = operation;
  const match = PATH.exec(path);
  if (match === null) throw fault("request.not_found");
  const [, id, completing] = match;
  const method = request.method ?? "GET";
  if (id === undefined) return pick(UPLOADS, method).handler(operation);
  const route: { handler: UploadHandler } = completing === undefined ? pick(UPLOAD, method) : pick(COMPLETE, method);
  // Of a volume that is not there, or not theirs, that is said first.
  if (!UploadId.safeParse(id).success) {
    await operation.content.find({ orgId, volumeId, version: null });
    throw fault("upload.not_found", { uploadId: id.slice(0, 64), volumeId });
  }
  await route.handler(operation, { orgId, volumeId, id });
}

async function create({ request, response, uploads, orgId, volumeId }: Operation): Promise<void> {
  const body = await readJson(request, api.CreateUploadBody);
  sendJson(response, 201, viewOf(await uploads.create({ orgId, volumeId }, body)));
}

async function look({ response, uploads }: Operation, ref: UploadRef): Promise<void> {
  sendJson(response, 200, viewOf(await uploads.find(ref)));
}

async function put({ request, response, uploads, query }: Operation, ref: UploadRef): Promise<void> {
  const { offset, sha256 } = readQuery(query, api.UploadPartQuery);
  const row = await uploads.inMemory.use(ref.orgId, () => withPart(request, (bytes) => uploads.put(ref, { offset, sha256, bytes })));
  sendJson(response, 200, viewOf(row));
}

async function complete({ response, uploads }: Operation, ref: UploadRef): Promise<void> {
  sendJson(response, 200, viewOf(await uploads.complete(ref)));
}

async function remove({ response, uploads }: Operation, ref: UploadRef): Promise<void> {
  await uploads.remove(ref);
  sendNothing(response);
}

/** Whole in memory, so that its checksum is known before a byte of it is written. */
async function withPart<T>(request: IncomingMessage, work: (bytes: Buffer) => Promise<T>): Promise<T> {
  const late = setTimeout(() => request.destroy(), PART_DEADLINE_MS);
  try {
    return await work(await readBytes(request, LIMITS.uploadPartBytesMax));
  } finally {
    clearTimeout(late);
  }
}

function viewOf({ id, volumeId, path, size, offset, state, expiresAt }: UploadRow): api.Upload {
  return {
    id,
    volume_id: volumeId,
    path,
    size,
    offset,
    part_bytes_max: LIMITS.uploadPartBytesMax,
    state: state === "complete" ? "complete" : "open",
    expires_at: expiresAt.toISOString(),
  };
}
