import { api, fault, LIMITS } from "@banyan/contracts";
import { readQuery, sendBytes, sendJson } from "@banyan/files";
import type { ChangesQuery, Trees } from "@banyan/runtime";
import type { z } from "zod";
import { diffPage } from "./diff-page.ts";
import { patchBytes } from "./diff-patch.ts";
import { changesTar } from "./diff-tar.ts";
import { treesOf } from "./diff-trees.ts";
import type { StoredOperation } from "./stored-operation.ts";

/** Each is a process that reads a disk. Of one sandbox, and of all. */
const OF_SANDBOX_MAX = 4;
const OF_NODE_MAX = 64;
const CURSOR = /^[A-Za-z0-9_-]+$/;

export type DiffQuery = z.infer<typeof api.DiffQuery>;

/** What the forms of a diff are made from. */
export interface DiffOf {
  trees: Trees;
  /** What all walks have in common. */
  within: Pick<ChangesQuery, "below" | "signal">;
}

const underWay = new Map<string, number>();

/** `GET diff`: how a sandbox's files differ from what it was made from, or from another sandbox's; as JSON, as a patch, or as tar. */
export async function diff(operation: StoredOperation): Promise<void> {
  const query = readQuery(operation.query, api.DiffQuery);
  const format = query.format ?? formatOf(operation.request.headers.accept);
  if (format !== "json" && (query.cursor !== undefined || query.content === "true"))
    throw fault("request.invalid", {}, { message: "`cursor` and `content` are for the JSON form; a patch and a tar come whole." });
  const leave = enter(operation.sandbox.sandboxId);
  try {
    await answer(operation, query, format);
  } finally {
    leave();
  }
}

async function answer(operation: StoredOperation, query: DiffQuery, format: "json" | "patch" | "tar"): Promise<void> {
  const { response, sandbox, stored, orgId, signal } = operation;
  // With its disk gone in the middle of the walk there was ever less to see: that is no diff.
  const mustBeThere = () => void stored.find({ sandboxId: sandbox.sandboxId, orgId, epoch: null });
  const other = query.against === undefined ? null : otherOf(operation, query.against);
  const release = other?.use();
  try {
    const below = belowOf(query.path);
    const of: DiffOf = { trees: await treesOf(sandbox, other), within: { ...(below && { below }), signal } };
    if (format === "json") {
      const page = await diffPage(of, { limit: query.limit, content: query.content === "true", after: afterOf(query.cursor) });
      mustBeThere();
      const running = sandbox.running || other?.running === true;
      sendJson(response, 200, { sandbox_id: sandbox.sandboxId, against: query.against ?? null, running, ...page } satisfies api.Diff);
      return;
    }
    const bytes = format === "patch" ? patchBytes(of, LIMITS.diffPatchBytes) : changesTar(of);
    // What is wrong is said before the first byte: then it can still be answered with a problem.
    const first = await bytes.next();
    response.writeHead(200, { "content-type": format === "patch" ? api.PATCH_CONTENT_TYPE : api.TAR_CONTENT_TYPE });
    await sendBytes(response, startingWith(first.done ? [] : [first.value], bytes, mustBeThere));
  } finally {
    release?.();
  }
}

async function* startingWith<T>(first: Iterable<T>, rest: AsyncIterable<T>, atEnd: () => void): AsyncGenerator<T, void, undefined> {
  yield* first;
  yield* rest;
  atEnd();
}

/** The gateway has seen that it is on this node; it may have left since. */
function otherOf({ stored, orgId }: StoredOperation, against: string) {
  try {
    return stored.find({ sandboxId: against, orgId, epoch: null });
  } catch (cause) {
    throw fault("diff.elsewhere", { against }, { cause });
  }
}

function enter(sandboxId: string): () => void {
  const ofSandbox = underWay.get(sandboxId) ?? 0;
  const ofNode = [...underWay.values()].reduce((sum, count) => sum + count, 0);
  if (ofSandbox >= OF_SANDBOX_MAX || ofNode >= OF_NODE_MAX) throw fault("exec.too_many", { underWay: ofSandbox });
  underWay.set(sandboxId, ofSandbox + 1);
  return () => {
    const left = (underWay.get(sandboxId) ?? 1) - 1;
    if (left === 0) underWay.delete(sandboxId);
    else underWay.set(sandboxId, left);
  };
}

function formatOf(accept: string | undefined): "json" | "patch" | "tar" {
  if (accept?.includes(api.PATCH_CONTENT_TYPE)) return "patch";
  return accept?.includes(api.TAR_CONTENT_TYPE) ? "tar" : "json";
}

/** Undefined: everything. */
function belowOf(path: string | undefined): Buffer | undefined {
  const parts = (path ?? "").split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw fault("request.invalid", { issues: [{ path: "path", message: "must not contain .." }] });
  return parts.length === 0 ? undefined : Buffer.from(parts.join("/"));
}

function afterOf(cursor: string | undefined): Buffer | undefined {
  if (cursor === undefined) return undefined;
  const path = CURSOR.test(cursor) ? Buffer.from(cursor, "base64url") : Buffer.alloc(0);
  if (path.length === 0 || path.length > LIMITS.pathBytes || path.includes(0))
    throw fault("request.invalid", { issues: [{ path: "cursor", message: "is not the next_cursor of a page" }] });
  return path;
}
