import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fault } from "@banyan/contracts";
import { type Clock, type Logger, processStartTime } from "@banyan/kernel";
import { type FileServer, openFileServer } from "@banyan/runtime";
import { type Loop, startLoop } from "@banyan/service";
import type { Place } from "./place.ts";

export interface FileServersOptions {
  /** The binary. */
  init: string;
  /** Where the sockets lie. */
  directory: string;
  serversMax: number;
  idleMs: number;
  clock: Clock;
  logger: Logger;
}

/** Each operation is a process of its own; the server refuses at twice as many. */
const OPERATIONS_PER_SERVER_MAX = 256;
const RETRY_AFTER_MS = 1_000;

interface Entry {
  epoch: number;
  server: Promise<FileServer>;
  /** Null while it starts. */
  opened: FileServer | null;
  operations: number;
  idleSinceMs: number;
  /** Another one has its place; it ends with its last operation. */
  isRetired: boolean;
}

/** A server of files for each volume or version in use: opened when it is needed, ended when it was idle for long, opened again when it has died. */
export class FileServers {
  readonly #options: FileServersOptions;
  /** In the order of their last use. */
  readonly #entries = new Map<string, Entry>();
  readonly #loop: Loop;
  #count = 0;
  #isClosed = false;

  static async open(options: FileServersOptions): Promise<FileServers> {
    await mkdir(options.directory, { recursive: true, mode: 0o700 });
    await removeAbandoned(options.directory);
    return new FileServers(options);
  }

  private constructor(options: FileServersOptions) {
    this.#options = options;
    const { idleMs, clock, logger } = options;
    this.#loop = startLoop({
      name: "end-idle-file-servers",
      everyMs: Math.max(idleMs / 4, 50),
      clock,
      logger,
      round: () => this.#endIdle(),
    });
  }

  /** Throws volume.unreachable. */
  async use<T>(place: Place, work: (server: FileServer) => Promise<T>): Promise<T> {
    const entry = this.#take(place);
    entry.operations++;
    try {
      return await work(await entry.server);
    } finally {
      entry.operations--;
      entry.idleSinceMs = this.#options.clock.monotonicMs();
      if (entry.isRetired && entry.operations === 0) await end(entry);
    }
  }

  /** Whoever comes next gets a new one. */
  forget(place: Place): void {
    const found = this.#entries.get(keyOf(place));
    if (found === undefined) return;
    this.#entries.delete(keyOf(place));
    this.#retire(found);
  }

  /** How many there are. */
  get size(): number {
    return this.#entries.size;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#loop.stop();
    await Promise.all([...this.#entries.values()].map(end));
    this.#entries.clear();
  }

  #take(place: Place): Entry {
    if (this.#isClosed) throw unreachable("The service is stopping.");
    const key = keyOf(place);
    const found = this.#entries.get(key);
    if (found !== undefined) this.#entries.delete(key);
    if (found !== undefined && found.epoch === place.epoch && found.opened?.isAlive !== false) {
      this.#entries.set(key, found);
      if (found.operations >= OPERATIONS_PER_SERVER_MAX) throw unreachable("Too many operations run at once on the volume.");
      return found;
    }
    if (found !== undefined) this.#retire(found);
    this.#makeRoom();
    const entry = this.#start(place);
    this.#entries.set(key, entry);
    // One that did not start is not kept.
    entry.server.catch(() => {
      if (this.#entries.get(key) === entry) this.#entries.delete(key);
    });
    return entry;
  }

  #start({ directory, versionId, epoch }: Place): Entry {
    const { init, clock } = this.#options;
    const socketPath = join(this.#options.directory, `${process.pid}-${++this.#count}.sock`);
    const server = openFileServer({ init, socketPath, root: directory, readOnly: versionId !== null, clock });
    const entry: Entry = { epoch, server, opened: null, operations: 0, idleSinceMs: clock.monotonicMs(), isRetired: false };
    server.then(
      (opened) => {
        entry.opened = opened;
      },
      () => undefined,
    );
    return entry;
  }

  #makeRoom(): void {
    if (this.#entries.size < this.#options.serversMax) return;
    const [key, oldest] = [...this.#entries].find(([, { operations }]) => operations === 0) ?? [];
    if (key === undefined || oldest === undefined) throw unreachable("Too many volumes are in use at once.");
    this.#entries.delete(key);
    this.#retire(oldest);
  }

  #retire(entry: Entry): void {
    entry.isRetired = true;
    if (entry.operations === 0) void end(entry);
  }

  async #endIdle(): Promise<void> {
    const before = this.#options.clock.monotonicMs() - this.#options.idleMs;
    for (const [key, entry] of this.#entries) {
      if (entry.operations > 0 || entry.idleSinceMs > before) continue;
      this.#entries.delete(key);
      await end(entry);
    }
  }
}

const keyOf = ({ volumeId, versionId }: Place): string => `${volumeId} ${versionId ?? ""}`;

async function end({ server }: Entry): Promise<void> {
  await server.then(
    (opened) => opened.close(),
    () => undefined,
  );
}

const unreachable = (message: string): Error => fault("volume.unreachable", { retryAfterMs: RETRY_AFTER_MS }, { message });

/** Sockets of processes that were killed; their servers have ended with them. */
async function removeAbandoned(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const pid = Number(/^(\d+)-\d+\.sock$/.exec(name)?.[1] ?? 0);
    if (pid === process.pid || (pid > 0 && processStartTime(pid) === null)) await rm(join(directory, name), { force: true });
  }
}
