import type { Stats } from "node:fs";
import { realpath, stat } from "node:fs/promises";
import { basename } from "node:path";
import { isBanyanError } from "../error.ts";
import { persistently } from "../upload.ts";
import type { VolumeHandle } from "../volume.ts";
import { type ChangeIn, changeOf, changesIn } from "./changes-in.ts";
import { endsCopy, reasonOf } from "./failures.ts";
import { bytesOf, type LocalEntry, lookAt, modeOf, openFile, pathOf, readExactly, textOf, wholeMs } from "./local-tree.ts";
import { lookAhead } from "./look-ahead.ts";
import type { CopyOptions, CopyResult } from "./options.ts";
import { joined, lookThere } from "./remote-tree.ts";
import { sendLarge } from "./send-large.ts";
import { Tally } from "./tally.ts";
import { BATCH_BYTES, type Packed, TarBatch, tarOf } from "./tar-batch.ts";

const AHEAD_MAX = 50_000;
/** Beside the one batch. Each holds two parts. */
const UPLOADS_AT_ONCE = 2;

/** Only what differs: small things packed together, large files each by an upload of its own. */
export async function copyIn(volume: VolumeHandle, from: string, to: string, options: CopyOptions): Promise<CopyResult> {
  const tally = new Tally(options);
  const copy = new CopyIn(volume, options, tally);
  const isDirectory = (await lookHere(from)).isDirectory();
  // What is named is what is meant, also where the name is a link.
  const start = pathOf(await realpath(from));
  if (isDirectory) {
    const target = absolute(to).replace(/(?<=.)\/+$/, "");
    const isThere = await copy.directory(target);
    const sides = { files: volume.files, from: start, to: target, options, tally };
    await copy.run(isThere ? changesIn(sides) : changesIn({ ...sides, options: { ...options, delete: false } }), target);
  } else {
    const target = await fileTarget(volume, absolute(to), basename(from));
    const entry = await lookAt(start, pathOf(basename(target)));
    const there = (await lookThere(volume.files, target)) ?? undefined;
    const root = target.slice(0, target.lastIndexOf("/")) || "/";
    const change = await changeOf(entry, there, { files: volume.files, from: start, to: root, options, tally });
    await copy.run(asGenerator(change === null ? [] : [change]), root);
  }
  return tally.result;
}

async function lookHere(from: string): Promise<Stats> {
  try {
    return await stat(from);
  } catch (cause) {
    const isMissing = (cause as NodeJS.ErrnoException).code === "ENOENT";
    throw new Error(isMissing ? `there is no ${from} here` : `${from}: ${reasonOf(cause)}`, { cause });
  }
}

const absolute = (path: string): string => (path.startsWith("/") ? path : `/${path}`);

async function* asGenerator<T>(items: readonly T[]): AsyncGenerator<T, void, undefined> {
  yield* items;
}

/** Like cp: a file copied to a directory lands in it. */
async function fileTarget({ files }: VolumeHandle, to: string, name: string): Promise<string> {
  if (to.endsWith("/")) return joined(to, name);
  return (await lookThere(files, to))?.type === "directory" ? joined(to, name) : to;
}

class CopyIn {
  readonly #volume: VolumeHandle;
  readonly #options: CopyOptions;
  readonly #tally: Tally;
  readonly #uploads = new Set<Promise<void>>();
  #batch = new TarBatch();
  #sending: Promise<void> = Promise.resolve();
  #failure: { error: unknown } | null = null;
  #root = "/";

  constructor(volume: VolumeHandle, options: CopyOptions, tally: Tally) {
    this.#volume = volume;
    this.#options = options;
    this.#tally = tally;
  }

  /** Whether there was one to compare with. */
  async directory(path: string): Promise<boolean> {
    const there = await lookThere(this.#volume.files, path);
    if (there?.type === "directory") return true;
    if (there !== null) throw new Error(`${path} is no directory`);
    if (!this.#options.dryRun) await this.#volume.files.mkdir(path);
    return !this.#options.dryRun;
  }

  async run(changes: AsyncGenerator<ChangeIn, void, undefined>, root: string): Promise<void> {
    this.#root = root;
    const found = lookAhead(this.#watched(changes), AHEAD_MAX);
    try {
      for await (const change of found) {
        if (this.#failure !== null) break;
        this.#options.signal?.throwIfAborted();
        await this.#carryOut(change);
      }
      if (this.#failure === null) this.#send();
    } finally {
      await Promise.all([this.#sending, ...this.#uploads]);
    }
    if (this.#failure !== null) throw this.#failure.error;
  }

  async *#watched(changes: AsyncGenerator<ChangeIn, void, undefined>): AsyncGenerator<ChangeIn, void, undefined> {
    yield* changes;
    this.#tally.compared();
  }

  async #carryOut(change: ChangeIn): Promise<void> {
    if (this.#options.dryRun) return this.#say(change);
    const { files } = this.#volume;
    if (change.kind === "delete") {
      await this.#attempt(change.path, async () => {
        await files.remove(joined(this.#root, textOf(change.path)), { recursive: true });
        this.#say(change);
      });
      return;
    }
    const { entry } = change;
    const target = joined(this.#root, textOf(entry.path));
    if (change.kind === "mode") {
      await this.#attempt(entry.path, async () => {
        const owner = this.#options.owners ? { uid: entry.uid, gid: entry.gid } : {};
        await files.chmod(target, { mode: octal(change.mode), ...owner });
        this.#say(change);
      });
    } else if (!change.replaces || (await this.#attempt(entry.path, () => this.#removed(target)))) {
      await this.#copy(entry, target);
    }
  }

  #say(change: ChangeIn): void {
    const path = change.kind === "delete" ? change.path : change.entry.path;
    const bytes = change.kind === "copy" && change.entry.found.type === "file" ? change.entry.found.size : 0;
    this.#tally.done(change.kind, path, bytes);
  }

  async #removed(target: string): Promise<void> {
    await this.#volume.files.remove(target, { recursive: true }).catch((error: unknown) => {
      if (!isBanyanError(error, "file.not_found")) throw error;
    });
  }

  async #copy(entry: LocalEntry, target: string): Promise<void> {
    if (entry.found.type === "file" && entry.found.size > BATCH_BYTES) {
      while (this.#uploads.size >= UPLOADS_AT_ONCE) await Promise.race(this.#uploads);
      const upload: Promise<void> = this.#attempt(entry.path, () =>
        sendLarge(this.#volume, entry, target, this.#options, this.#tally),
      ).then(() => void this.#uploads.delete(upload));
      this.#uploads.add(upload);
      return;
    }
    await this.#attempt(entry.path, async () => {
      const packed = await this.#pack(entry);
      if (!this.#batch.fits(packed.content.length)) {
        await this.#sending;
        this.#send();
      }
      this.#batch.add(packed);
    });
  }

  /** What is there now is what is sent, whatever it was when it was compared. */
  async #pack(entry: LocalEntry): Promise<Packed> {
    const { found } = entry;
    const owner = this.#options.owners ? { uid: entry.uid, gid: entry.gid } : { uid: 0, gid: 0 };
    const head = { path: bytesOf(entry.path), ...owner, mtimeMs: Date.now(), sizeBytes: 0, link: new Uint8Array(0) };
    const nothing = new Uint8Array(0);
    if (found.type === "directory") return { entry, header: { ...head, type: "directory", mode: found.mode }, content: nothing };
    if (found.type === "symlink")
      return { entry, header: { ...head, type: "symlink", mode: 0o777, link: bytesOf(found.target) }, content: nothing };
    const file = await openFile(entry.at);
    try {
      const info = await file.stat({ bigint: true });
      if (!info.isFile() || info.size > BATCH_BYTES) throw new Error("it changed while it was read; copy again");
      const content = await readExactly(file, 0, Number(info.size));
      const mtimeMs = wholeMs(info);
      return { entry, header: { ...head, type: "file", mode: modeOf(info), mtimeMs, sizeBytes: content.length }, content };
    } finally {
      await file.close();
    }
  }

  /** While one batch is on its way, the next is packed. */
  #send(): void {
    const { items } = this.#batch;
    this.#batch = new TarBatch();
    if (items.length > 0) this.#sending = this.#sending.then(() => this.#sendItems(items)).catch((error) => this.#broken(error));
  }

  /** Of a batch that is refused, all but what is wrong in it arrives: it is sent in halves. */
  async #sendItems(items: readonly Packed[]): Promise<void> {
    if (this.#failure !== null) return;
    const tar = tarOf(items);
    try {
      await persistently(this.#options.signal, () => this.#volume.files.upload(this.#root, tar));
    } catch (error) {
      if (endsCopy(error)) throw error;
      if (items.length === 1 && items[0] !== undefined) return this.#tally.failed(items[0].entry.path, error);
      const half = Math.ceil(items.length / 2);
      await this.#sendItems(items.slice(0, half));
      return this.#sendItems(items.slice(half));
    }
    for (const { entry, content } of items) {
      this.#tally.sent(content.length);
      this.#tally.done("copy", entry.path, content.length);
    }
  }

  async #attempt(path: string, work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      if (endsCopy(error)) this.#broken(error);
      else this.#tally.failed(path, error);
      return false;
    }
  }

  #broken(error: unknown): void {
    this.#failure ??= { error };
  }
}

const octal = (mode: number): string => mode.toString(8).padStart(4, "0");
