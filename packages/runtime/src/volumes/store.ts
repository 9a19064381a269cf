import { randomBytes } from "node:crypto";
import { link, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fault, StoreId } from "@banyan/contracts";

/**
 * The store of the `directory` backend: a root directory, the same for everyone who reaches it. Its marker tells it from an empty mount point and from
 * another store.
 */
export interface DirectoryStore {
  id: string;
  root: string;
}

const ID_BYTES = 10;
const WITHOUT_LINKS: ReadonlySet<unknown> = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"]);

export const markerPath = (root: string): string => join(root, ".banyan-store.json");
export const volumePath = (root: string, volumeId: string): string => join(root, "volumes", volumeId);
export const contentPath = (root: string, volumeId: string): string => join(volumePath(root, volumeId), "content");
export const versionsPath = (root: string, volumeId: string): string => join(volumePath(root, volumeId), "versions");
export const versionPath = (root: string, volumeId: string, versionId: string): string => join(versionsPath(root, volumeId), versionId);

/** Makes the marker of a new store; the id of one that has a marker stays. Only the volume-manager makes stores. */
export async function makeStore(root: string): Promise<DirectoryStore> {
  const draft = `${markerPath(root)}.${randomBytes(4).toString("hex")}.draft`;
  try {
    return await readStore(root);
  } catch (error) {
    if (!isAbsent(error)) throw error;
  }
  await writeFile(draft, `${JSON.stringify({ id: randomBytes(ID_BYTES).toString("hex") })}\n`, { mode: 0o644, flush: true });
  try {
    // Of several who make it at once the first one's stays: a link takes the place of nothing.
    await link(draft, markerPath(root)).catch((error) => {
      if (WITHOUT_LINKS.has(error?.code)) return rename(draft, markerPath(root));
      if (error?.code !== "EEXIST") throw error;
    });
  } finally {
    await rm(draft, { force: true });
  }
  return readStore(root);
}

/** Throws volume.unreachable where there is no marker, or none that can be read. Waits as long as the filesystem does: a hung one for ever. */
export async function readStore(root: string): Promise<DirectoryStore> {
  let text: string;
  try {
    text = await readFile(markerPath(root), "utf8");
  } catch (cause) {
    throw fault("volume.unreachable", { root, retryAfterMs: 5_000 }, { cause, message: `There is no store of volumes at ${root}.` });
  }
  return { id: parseMarker(text, root), root };
}

/** The id that a marker's text gives. */
export function parseMarker(text: string, root: string): string {
  try {
    return StoreId.parse(JSON.parse(text)?.id);
  } catch (cause) {
    throw fault("volume.unreachable", { root, retryAfterMs: 5_000 }, { cause, message: `The marker of the store at ${root} is spoiled.` });
  }
}

const isAbsent = (error: unknown): boolean =>
  error instanceof Error && error.cause instanceof Error && "code" in error.cause && error.cause.code === "ENOENT";
