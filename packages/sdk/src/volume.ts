import type { api } from "@banyan/contracts";
import type { Camel } from "./case.ts";
import type { Client } from "./client.ts";
import { copyIn } from "./copy/copy-in.ts";
import { copyOut } from "./copy/copy-out.ts";
import type { CopyOptions, CopyResult } from "./copy/options.ts";
import { Files } from "./files.ts";
import { Handle } from "./handle.ts";
import type { InputOf } from "./schema-types.ts";
import { type UploadOptions, type UploadSource, uploadFile } from "./upload.ts";

export type VolumeInfo = Camel<api.Volume>;
export type VolumeVersion = Camel<api.VolumeVersion>;
export type VolumeUsers = Camel<api.VolumeUsers>;
export type UpdateVolumeOptions = Camel<InputOf<typeof api.UpdateVolumeBody>>;
export type ForkVolumeOptions = Camel<InputOf<typeof api.ForkVolumeBody>> & CopyWait;

export interface CopyWait {
  /** How long to wait for the end of the copy, where the store has to copy at all. Default: 600; 0: not at all. */
  waitS?: number;
}

interface Page {
  versions: api.VolumeVersion[];
  next_cursor: string | null;
}

const WAIT_S_DEFAULT = 600;
const ANSWER_MARGIN_MS = 45_000;

/** A volume by its id or name: all that can be done with it, without a look at it first. */
export class VolumeHandle extends Handle<api.Volume, UpdateVolumeOptions> {
  /** Its id or name. */
  readonly ref: string;

  constructor(client: Client, ref: string) {
    super(client, `/v1/volumes/${encodeURIComponent(ref)}`);
    this.ref = ref;
  }

  /** The files of a version, which can only be read; `files` are those as they are now. */
  filesAt(version: string): Files {
    return new Files(this.client, this.path, { version });
  }

  /** Which sandboxes have it among their mounts: the first 100, and how many there are. */
  users(): Promise<VolumeUsers> {
    return this.client.json<api.VolumeUsers>("GET", `${this.path}/users`);
  }

  /** Another volume with the same content, or that of a version. Still `creating` where its copy took longer than the wait. */
  async fork({ waitS, ...options }: ForkVolumeOptions = {}): Promise<Volume> {
    return new Volume(this.client, await this.#copied<api.Volume>("forks", options, waitS));
  }

  /** Its content as a version that never changes. */
  snapshot({ waitS, ...options }: { name?: string } & CopyWait = {}): Promise<VolumeVersion> {
    return this.#copied<api.VolumeVersion>("versions", options, waitS);
  }

  /** All of them, newest first, page by page as they are asked for. */
  async *versions({ pageSize }: { pageSize?: number } = {}): AsyncGenerator<VolumeVersion, void, undefined> {
    let cursor: string | null | undefined;
    do {
      const query = { limit: pageSize, cursor: cursor ?? undefined };
      const page: Camel<Page> = await this.client.json<Page>("GET", `${this.path}/versions`, { query });
      yield* page.versions;
      cursor = page.nextCursor;
    } while (cursor !== null);
  }

  /** By its id or name. */
  version(version: string): Promise<VolumeVersion> {
    return this.client.json<api.VolumeVersion>("GET", `${this.path}/versions/${encodeURIComponent(version)}`);
  }

  /** Refused while sandboxes have it among their mounts; `force`: also where only stopped ones have. */
  deleteVersion(version: string, options: { force?: boolean } = {}): Promise<void> {
    return this.client.keyedNoReply("DELETE", `${this.path}/versions/${encodeURIComponent(version)}`, { query: { ...options } });
  }

  /** Its content becomes what it was at a version. Refused while running sandboxes have it mounted. */
  restore(version: string, { waitS }: CopyWait = {}): Promise<VolumeInfo> {
    return this.saw(this.#copied<api.Volume>("restore", { version }, waitS));
  }

  /** Refused while sandboxes have it among their mounts; `force`: also where only stopped ones have, which cannot start any more. */
  delete(options: { force?: boolean } = {}): Promise<void> {
    return this.client.keyedNoReply("DELETE", this.path, { query: { ...options } });
  }

  /**
   * One file of any size, in parts that are checked and repeated each for itself; nothing of it is seen at `path` before all of it is there. With
   * the `uploadId` of an upload that was broken off, it goes on where that one stood.
   */
  upload(path: string, source: UploadSource, options: UploadOptions = {}): Promise<{ path: string; size: number }> {
    return uploadFile(this.client, this.path, path, source, options);
  }

  /** One file, as it comes. */
  download(path: string, options: { offset?: number; version?: string; signal?: AbortSignal } = {}): Promise<ReadableStream<Uint8Array>> {
    const { version, ...rest } = options;
    return (version === undefined ? this.files : this.filesAt(version)).readStream(path, rest);
  }

  /** A file or directory of this machine into the volume: only what has changed, and after an interruption only the rest. */
  copyIn(from: string, to: string, options: CopyOptions = {}): Promise<CopyResult> {
    return copyIn(this, from, to, options);
  }

  /** The other way. */
  copyOut(from: string, to: string, options: CopyOptions & { version?: string } = {}): Promise<CopyResult> {
    const { version, ...rest } = options;
    return copyOut(version === undefined ? this.files : this.filesAt(version), from, to, rest);
  }

  #copied<T>(what: string, json: object, waitS = WAIT_S_DEFAULT): Promise<Camel<T>> {
    const headers = waitS > 0 ? { prefer: `wait=${waitS}` } : {};
    return this.client.keyed<T>("POST", `${this.path}/${what}`, { json, headers, timeoutMs: waitS * 1_000 + ANSWER_MARGIN_MS });
  }
}

/** A volume with what was last seen of it. */
export class Volume extends VolumeHandle {
  readonly id: string;
  info: VolumeInfo;

  constructor(client: Client, info: VolumeInfo) {
    super(client, info.id);
    this.id = info.id;
    this.info = info;
  }

  get name(): string | null {
    return this.info.name;
  }

  get state(): VolumeInfo["state"] {
    return this.info.state;
  }

  protected override async saw<Info extends VolumeInfo>(answer: Promise<Info>): Promise<Info> {
    const info = await answer;
    this.info = info;
    return info;
  }
}
