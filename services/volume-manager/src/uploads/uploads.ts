import { createHash } from "node:crypto";
import { type api, fault, LIMITS } from "@banyan/contracts";
import type { Database } from "@banyan/db";
import { type Clock, newId } from "@banyan/kernel";
import type { InitFiles } from "@banyan/runtime";
import type { Content } from "../content/content.ts";
import type { Place } from "../content/place.ts";
import { deleteUpload } from "../store/delete-upload.ts";
import { findUpload } from "../store/find-upload.ts";
import { type HoldDeps, holdUpload } from "../store/hold-upload.ts";
import { insertUpload } from "../store/insert-upload.ts";
import { moveUpload } from "../store/move-upload.ts";
import type { UploadRow } from "../store/uploads-schema.ts";
import { complete } from "./complete.ts";
import { absent, checkPath, OWN, PARTS_DIRECTORY, partsPath } from "./parts-file.ts";
import { Places } from "./places.ts";
import { Turns } from "./turns.ts";

export interface UploadRef {
  orgId: string;
  volumeId: string;
  id: string;
}

export interface Part {
  offset: number;
  /** Of its bytes, as the sender says. */
  sha256: string;
  bytes: Buffer;
}

/** Those who wait for their turn with one upload. */
const WAITING_MAX = 16;
/** Parts in memory at once, and of one organisation. */
const IN_MEMORY = { max: 16, perHolderMax: 4, waitingMax: 64, waitMs: 10_000 };

/**
 * Large files in parts. What has arrived lies in the volume itself, where nobody sees it, and is renamed to its place when it is whole; the row says
 * how much of it is on disk, so that whoever sends goes on there after any interruption on either side.
 */
export class Uploads {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #content: Content;
  readonly #turns = new Turns(WAITING_MAX);
  readonly #hold: HoldDeps;
  /** Whoever holds a part in memory, by organisation. */
  readonly inMemory: Places;

  constructor(deps: HoldDeps & { content: Content }) {
    this.#hold = deps;
    this.#db = deps.db;
    this.#clock = deps.clock;
    this.#content = deps.content;
    this.inMemory = new Places({ ...IN_MEMORY, clock: deps.clock });
  }

  async create(
    { orgId, volumeId }: Omit<UploadRef, "id">,
    body: Required<Pick<api.Upload, "path" | "size">> & Described,
  ): Promise<UploadRow> {
    const path = checkPath(body.path);
    const place = await this.#content.write({ orgId, volumeId }, async (found, claim) => {
      claim.foresee(body.size);
      return found;
    });
    const row: UploadRow = {
      id: newId("upl"),
      volumeId,
      orgId,
      path,
      state: "open",
      size: body.size,
      offset: 0,
      sha256: body.sha256 ?? null,
      mode: body.mode,
      modifiedAt: body.modified_at === undefined ? null : new Date(body.modified_at),
      expiresAt: this.#expiry(),
      createdAt: new Date(this.#clock.now()),
    };
    // The row first: what has no row is never removed.
    await insertUpload(this.#db, row);
    await this.#content.use(place, (files) => makeFile(files, row.id));
    return row;
  }

  find(ref: UploadRef): Promise<UploadRow> {
    return findUpload(this.#db, ref, new Date(this.#clock.now()));
  }

  /** A part that was taken already is taken again. Throws upload.out_of_order, upload.checksum_mismatch, volume.no_space. */
  put(ref: UploadRef, part: Part): Promise<UploadRow> {
    if (createHash("sha256").update(part.bytes).digest("hex") !== part.sha256)
      throw fault("upload.checksum_mismatch", { uploadId: ref.id, offset: part.offset });
    return this.#take(ref.id, async () => {
      const row = await this.find(ref);
      const end = part.offset + part.bytes.length;
      if (end > row.size)
        throw fault("request.invalid", { issues: [{ path: "offset", message: "the part ends beyond the size of the file" }] });
      if (row.state !== "open") return row;
      return this.#content.write(ref, async (place, claim) => {
        const kept = await this.#kept(place, row);
        if (part.offset > kept.offset) throw fault("upload.out_of_order", { uploadId: row.id, offset: kept.offset });
        if (part.bytes.length === 0) return kept;
        // What is written over takes no more room.
        claim.take(Math.max(end - kept.offset, 0));
        const { offset, bytes } = part;
        const options = { ...OWN, offset, size: bytes.length, sync: true };
        await this.#content.use(place, (files) => files.write(partsPath(row.id), bytes, options));
        return moveUpload(this.#db, kept, { offset: Math.max(kept.offset, end), expiresAt: this.#expiry() });
      });
    });
  }

  /** Throws upload.incomplete, upload.checksum_mismatch. One that is complete already is that again. */
  complete(ref: UploadRef): Promise<UploadRow> {
    return this.#take(ref.id, async () => {
      const row = await this.find(ref);
      if (row.state === "complete") return row;
      const place = await this.#content.find({ ...ref, version: null });
      const kept = row.state === "open" ? await this.#kept(place, row) : row;
      if (kept.offset < kept.size) throw fault("upload.incomplete", { uploadId: row.id, offset: kept.offset });
      return this.#content.use(place, (files) => complete(this.#db, files, kept));
    });
  }

  remove(ref: UploadRef): Promise<void> {
    return this.#take(ref.id, async () => this.drop(await this.find(ref)));
  }

  /** Its file, then its row. */
  async drop(row: UploadRow): Promise<void> {
    const place = await this.#content.find({ orgId: row.orgId, volumeId: row.volumeId, version: null });
    await this.#content.use(place, (files) => removeFile(files, row.id));
    await deleteUpload(this.#db, row.id);
  }

  /** One at a time, in this process and in others. */
  #take<T>(id: string, work: () => Promise<T>): Promise<T> {
    return this.#turns.take(id, () => holdUpload(this.#hold, id, work));
  }

  /** As much as is really there: the volume may have been put back to a version since. */
  async #kept(place: Place, row: UploadRow): Promise<UploadRow> {
    const size = await this.#content.use(place, (files) => sizeOrMade(files, row.id));
    return size >= row.offset ? row : moveUpload(this.#db, row, { offset: size });
  }

  #expiry(): Date {
    return new Date(this.#clock.now() + LIMITS.uploadKeptS * 1_000);
  }
}

interface Described {
  sha256?: string | undefined;
  mode: string;
  modified_at?: string | undefined;
}

async function makeFile(files: InitFiles, id: string): Promise<void> {
  await files.mkdir(PARTS_DIRECTORY, { ...OWN, parents: true, mode: 0o700 });
  await files.write(partsPath(id), Buffer.alloc(0), { ...OWN, mode: 0o600 });
}

async function sizeOrMade(files: InitFiles, id: string): Promise<number> {
  const size = await sizeOf(files, id);
  if (size !== null) return size;
  await makeFile(files, id);
  return 0;
}

async function sizeOf(files: InitFiles, id: string): Promise<number | null> {
  return files.stat(partsPath(id), { ...OWN, noFollow: true }).then(({ size }) => size, absent);
}

async function removeFile(files: InitFiles, id: string): Promise<void> {
  await files.remove(partsPath(id), OWN).catch(absent);
}
