import { chmod, mkdir, rm, stat, symlink } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { basename as remoteBasename } from "node:path/posix";
import type { Files } from "../files.ts";
import { type ChangeOut, changeOf, changesOut, hereOf, type SidesOut } from "./changes-out.ts";
import { endsCopy } from "./failures.ts";
import { fetchFile } from "./fetch-file.ts";
import { bytesOf, lookAt, pathOf } from "./local-tree.ts";
import { lookAhead } from "./look-ahead.ts";
import type { CopyOptions, CopyResult } from "./options.ts";
import { lookThere } from "./remote-tree.ts";
import { Tally } from "./tally.ts";

const AHEAD_MAX = 50_000;
const FILES_AT_ONCE = 4;
const OWNER_MAY = 0o700;

/** Only what differs, each file beside its place until it is whole. */
export async function copyOut(files: Files, from: string, to: string, options: CopyOptions): Promise<CopyResult> {
  const source = from.startsWith("/") ? from : `/${from}`;
  const info = await lookThere(files, source);
  if (info === null) throw new Error(`the volume has no ${source}`);
  const tally = new Tally(options);
  if (info.type === "directory") {
    const target = resolve(to);
    if (!options.dryRun) await mkdir(target, { recursive: true });
    const sides = { files, from: source.replace(/(?<=.)\/+$/, ""), to: pathOf(target), options, tally };
    await new CopyOut(sides).run(changesOut(sides));
    return tally.result;
  }
  const isDirectory = to.endsWith("/") || ((await stat(to).catch(() => null))?.isDirectory() ?? false);
  if (isDirectory && !options.dryRun) await mkdir(to, { recursive: true });
  const target = resolve(isDirectory ? `${to}/${remoteBasename(source)}` : to);
  const sides = { files, from: source, to: pathOf(resolve(target, "..")), options, tally };
  const name = pathOf(basename(target));
  const here = await lookAt(hereOf(sides, name), name).catch(() => undefined);
  const change = await changeOf(sides, name, info, here?.found);
  await new CopyOut(sides).run(only(change));
  return tally.result;
}

async function* only<T>(item: T | null): AsyncGenerator<T, void, undefined> {
  if (item !== null) yield item;
}

class CopyOut {
  readonly #sides: SidesOut;
  readonly #fetching = new Set<Promise<void>>();
  /** Directories that are not to be written to in the end, but have to be until then. */
  readonly #closed: { path: string; mode: number }[] = [];
  #failure: { error: unknown } | null = null;

  constructor(sides: SidesOut) {
    this.#sides = sides;
  }

  async run(changes: AsyncGenerator<ChangeOut, void, undefined>): Promise<void> {
    const { tally } = this.#sides;
    async function* watched(): AsyncGenerator<ChangeOut, void, undefined> {
      yield* changes;
      tally.compared();
    }
    try {
      for await (const change of lookAhead(watched(), AHEAD_MAX)) {
        if (this.#failure !== null) break;
        this.#sides.options.signal?.throwIfAborted();
        await this.#carryOut(change);
      }
    } finally {
      await Promise.all(this.#fetching);
      for (const { path, mode } of this.#closed.reverse()) await this.#attempt(path, () => chmod(this.#at(path), mode));
    }
    if (this.#failure !== null) throw this.#failure.error;
  }

  #at(path: string): Buffer {
    return bytesOf(hereOf(this.#sides, path));
  }

  async #carryOut(change: ChangeOut): Promise<void> {
    const { path } = change;
    if (this.#sides.options.dryRun) return this.#say(change);
    if (change.kind === "copy" && change.found.type === "file") {
      while (this.#fetching.size >= FILES_AT_ONCE) await Promise.race(this.#fetching);
      const fetching: Promise<void> = this.#attempt(path, () => this.#fetch(change)).then(() => void this.#fetching.delete(fetching));
      this.#fetching.add(fetching);
      return;
    }
    await this.#attempt(path, async () => {
      if (change.kind === "delete") await rm(this.#at(path), { recursive: true });
      else if (change.kind === "mode") await this.#setMode(path, change.mode);
      else await this.#make(change);
      this.#say(change);
    });
  }

  async #fetch({ path, info, found, replaces }: Extract<ChangeOut, { kind: "copy" }>): Promise<void> {
    const { files, options, tally } = this.#sides;
    if (found.type !== "file") return;
    if (replaces) await rm(this.#at(path), { recursive: true, force: true });
    const told = { onBytes: (bytes: number) => tally.sent(bytes), onResumed: (bytes: number) => tally.resumed(bytes) };
    await fetchFile(files, info, hereOf(this.#sides, path), { mode: found.mode, signal: options.signal, ...told });
    tally.done("copy", path, info.size);
  }

  async #make({ path, info, found, replaces }: Extract<ChangeOut, { kind: "copy" }>): Promise<void> {
    if (replaces) await rm(this.#at(path), { recursive: true, force: true });
    if (found.type === "symlink") await symlink(info.linkTarget ?? "", this.#at(path));
    if (found.type !== "directory") return;
    await mkdir(this.#at(path), { mode: OWNER_MAY });
    await this.#setMode(path, found.mode);
  }

  /** A directory that its owner may not write to becomes so when it is full. */
  async #setMode(path: string, mode: number): Promise<void> {
    const { found } = await lookAt(hereOf(this.#sides, path), path);
    const isClosed = found.type === "directory" && (mode & OWNER_MAY) !== OWNER_MAY;
    if (isClosed) this.#closed.push({ path, mode });
    await chmod(this.#at(path), isClosed ? mode | OWNER_MAY : mode);
  }

  #say(change: ChangeOut): void {
    const bytes = change.kind === "copy" && change.found.type === "file" ? change.found.size : 0;
    this.#sides.tally.done(change.kind, change.path, bytes);
  }

  async #attempt(path: string, work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (endsCopy(error)) this.#failure ??= { error };
      else this.#sides.tally.failed(path, error);
    }
  }
}
