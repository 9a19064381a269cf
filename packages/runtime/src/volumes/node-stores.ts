import { fault, type MountOrder, type MountSource, type NodeHeartbeat, OBJECT_STORE } from "@banyan/contracts";
import { NativeError } from "../native/index.ts";
import type { AttachOperations } from "../slots/attach-helper.ts";
import type { ObjectMounts } from "./object-mounts.ts";
import { contentPath, versionPath } from "./store.ts";
import { StoreProbe } from "./store-probe.ts";

/** A store that does not answer for so long is lost: what starts then is refused at once, instead of waiting with it. */
const LOOK_TIMEOUT_MS = 3_000;
const RETRY_AFTER_MS = 5_000;
const REASON_CHARS_MAX = 500;

export interface NodeStoresOptions {
  /** Where the store of the `directory` backend is mounted on this host. */
  root: string;
  run: AttachOperations["run"];
  /** Null: this node mounts no object volumes. */
  objects: ObjectMounts | null;
}

type DirectoryState = { state: "ok" } | { state: "lost"; reason: string };

/** The stores of volumes as this node reaches them, and the directories of this host where their volumes' files are. */
export class NodeStores {
  readonly #root: string;
  readonly #probe: StoreProbe;
  readonly objects: ObjectMounts | null;
  /** Null: none was ever seen. */
  #storeId: string | null = null;
  #directory: DirectoryState = { state: "lost", reason: "nobody has looked for it yet" };

  constructor({ root, run, objects }: NodeStoresOptions) {
    this.#root = root;
    this.#probe = new StoreProbe(root, { timeoutMs: LOOK_TIMEOUT_MS, run: (argv, options) => run(argv, options).catch(tooLate) });
    this.objects = objects;
  }

  /** As heartbeats say it. A node that has never seen the store's marker does not know which one it lacks. */
  said(): NodeHeartbeat["stores"] {
    const said = (store: string, kind: "directory" | "object", seen: DirectoryState) => ({
      ...{ store, kind, state: seen.state },
      reason: seen.state === "lost" ? seen.reason.slice(0, REASON_CHARS_MAX) : null,
    });
    const objects = this.objects?.state() ?? null;
    return [
      ...(this.#storeId === null ? [] : [said(this.#storeId, "directory", this.#directory)]),
      ...(objects === null ? [] : [said(OBJECT_STORE, "object", objects)]),
    ];
  }

  /** Looks for the store's marker, by a process of the helper's. Answers what has changed. */
  async look(): Promise<DirectoryState | null> {
    const seen = await this.#probe.look();
    if (seen.state === "ok") this.#storeId = seen.storeId;
    return this.#note(seen.state === "ok" ? { state: "ok" } : seen);
  }

  /**
   * Where the files of these volumes are, in their order, without a question to a filesystem that may not answer. A promise only where something has
   * to be mounted first. To be given back by `release`. Throws volume.unreachable.
   */
  open(mounts: readonly Pick<MountOrder, "source">[]): string[] | Promise<string[]> {
    if (mounts.every(({ source }) => source.kind === "directory")) return mounts.map(({ source }) => this.#directoryOf(source));
    return this.#openEach(mounts);
  }

  release(mounts: readonly { source: { kind: MountSource["kind"]; volumeId: string } }[]): void {
    for (const { source } of mounts) if (source.kind === "object") this.objects?.release(source.volumeId);
  }

  async #openEach(mounts: readonly Pick<MountOrder, "source">[]): Promise<string[]> {
    const opened: Pick<MountOrder, "source">[] = [];
    const paths: string[] = [];
    try {
      for (const mount of mounts) {
        paths.push(mount.source.kind === "directory" ? this.#directoryOf(mount.source) : await this.#objectOf(mount.source));
        opened.push(mount);
      }
      return paths;
    } catch (error) {
      this.release(opened);
      throw error;
    }
  }

  async #objectOf(source: Extract<MountSource, { kind: "object" }>): Promise<string> {
    if (this.objects === null) throw unreachable(source.store, "this node mounts no object volumes");
    return this.objects.open(source);
  }

  #directoryOf(source: MountSource): string {
    if (source.kind !== "directory" || source.store !== this.#storeId) throw unreachable(source.store, "this node does not have the store");
    if (this.#directory.state === "lost") throw unreachable(source.store, this.#directory.reason);
    const { volumeId, versionId } = source;
    return versionId === null ? contentPath(this.#root, volumeId) : versionPath(this.#root, volumeId, versionId);
  }

  /** Null: nothing new. */
  #note(seen: DirectoryState): DirectoryState | null {
    const isNew = seen.state !== this.#directory.state;
    this.#directory = seen;
    return isNew ? seen : null;
  }
}

/** The helper has ended what it ran. */
function tooLate(error: unknown): { exitCode: null; output: string } {
  if (error instanceof NativeError && error.errnoName === "ETIMEDOUT") return { exitCode: null, output: "" };
  throw error;
}

function unreachable(store: string, reason: string): Error {
  return fault("volume.unreachable", { store, reason, retryAfterMs: RETRY_AFTER_MS });
}
