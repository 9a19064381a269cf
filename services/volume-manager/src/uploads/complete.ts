import { createHash } from "node:crypto";
import { dirname } from "node:path/posix";
import { fault } from "@banyan/contracts";
import type { Database } from "@banyan/db";
import { modeOf } from "@banyan/files";
import type { InitFiles } from "@banyan/runtime";
import { moveUpload } from "../store/move-upload.ts";
import type { UploadRow } from "../store/uploads-schema.ts";
import { absent, OWN, partsPath } from "./parts-file.ts";

/**
 * Gives a whole file its name. `completing` is written down before the rename: where a process ended in between, the file that is missing among the
 * parts has its name already.
 */
export async function complete(db: Database, files: InitFiles, row: UploadRow): Promise<UploadRow> {
  const at = partsPath(row.id);
  if (row.state === "completing") {
    const isMoved = (await files.stat(at, { ...OWN, noFollow: true }).catch(absent)) === null;
    if (isMoved) return moveUpload(db, row, { state: "complete" });
  } else {
    await check(db, files, row);
  }
  // As one who may not reach the host's own: no symlink leads the file there.
  const parent = dirname(row.path);
  if (parent !== "/") await files.mkdir(parent, { parents: true, mode: 0o755 });
  await files.chmod(at, { ...OWN, mode: modeOf(row.mode), ...(row.modifiedAt !== null && { mtimeMs: row.modifiedAt.getTime() }) });
  const completing = row.state === "completing" ? row : await moveUpload(db, row, { state: "completing" });
  try {
    await files.move(at, row.path, { ...OWN, sync: true });
  } catch (thrown) {
    const isHere = (await files.stat(at, { ...OWN, noFollow: true }).catch(absent)) !== null;
    if (isHere) await moveUpload(db, completing, { state: "open" });
    throw thrown;
  }
  return moveUpload(db, completing, { state: "complete" });
}

/** What is not what it should be is of no use: it is sent again from the beginning. */
async function check(db: Database, files: InitFiles, row: UploadRow): Promise<void> {
  if (row.sha256 === null) return;
  const hash = createHash("sha256");
  const { data } = await files.read(partsPath(row.id), OWN);
  for await (const chunk of data) hash.update(chunk);
  if (hash.digest("hex") === row.sha256) return;
  await moveUpload(db, row, { offset: 0 });
  throw fault("upload.checksum_mismatch", { uploadId: row.id, offset: 0 }, { message: "The whole file is not what its checksum says." });
}
