import type { api } from "@banyan/contracts";
import type { Camel } from "./case.ts";
import type { Client } from "./client.ts";
import { type Diff, type DiffEntry, type DiffOptions, type DiffRange, eachChange, readDiff, streamDiff } from "./diff.ts";
import { createExec, type Exec } from "./exec.ts";
import { Fork } from "./fork.ts";
import { type ForkOptions, forkBody } from "./fork-options.ts";
import { Handle } from "./handle.ts";
import { Processes } from "./processes.ts";
import type { InputOf } from "./schema-types.ts";
import { openTerminal, type Terminal, type TerminalOptions } from "./terminal.ts";

export type SandboxInfo = Camel<api.Sandbox>;
export type StartedInfo = Camel<api.StartedSandbox>;
export type UpdateSandboxOptions = Camel<InputOf<typeof api.UpdateSandboxBody>>;
export type Snapshot = Camel<api.Snapshot>;
export type Promotion = Camel<api.Promotion>;
export type Lineage = Camel<api.Lineage>;
export type Link = Camel<api.Link>;
/** What is mounted, where and how: `{ volume: "data", path: "/data", mode: "cow" }`. */
export type MountOptions = Camel<InputOf<typeof api.MountVolumeBody>>;
export interface StartOptions {
  /** How long to wait for a slot. */
  waitMs?: number;
}
export interface StopOptions {
  /** Time between SIGTERM to every process and SIGKILL. */
  graceMs?: number;
}

/** Beyond the wait for a slot, before the answer counts as lost. */
export const ANSWER_MARGIN_MS = 30_000;
export const WAIT_MS_DEFAULT = 10_000;
const STOP_TIMEOUT_MS = 90_000;
const SNAPSHOT_TIMEOUT_MS = 660_000;
const PROMOTE_TIMEOUT_MS = 150_000;

/** A sandbox by its id: all that can be done with it, without a look at it first. */
export class SandboxHandle extends Handle<api.Sandbox, UpdateSandboxOptions> implements AsyncDisposable {
  readonly id: string;
  /** Runs commands: `await sandbox.exec("ls -l")`, or as a stream: `sandbox.exec.stream(…)`. */
  readonly exec: Exec;
  readonly processes: Processes;

  constructor(client: Client, id: string) {
    super(client, `/v1/sandboxes/${encodeURIComponent(id)}`);
    this.id = id;
    this.exec = createExec(client, this.path);
    this.processes = new Processes(client, this.path);
  }

  /** Where a port inside is reached by those who hold a key; see `link` for those who do not. */
  url(port: number, path = "/"): string {
    return `${this.client.url}${this.path}/ports/${port}${path.startsWith("/") ? path : `/${path}`}`;
  }

  /** A signed, expiring address of a port, for those without a key. */
  link(port: number, options: { ttlS?: number } = {}): Promise<Link> {
    return this.client.json<api.Link>("POST", `${this.path}/ports/${port}/links`, { json: options, repeatable: true });
  }

  /** `fetch` to a server inside. */
  fetch(port: number, path = "/", init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    headers.set("authorization", `Bearer ${this.client.apiKey}`);
    return fetch(this.url(port, path), { ...init, headers });
  }

  /** An interactive terminal. */
  terminal(options: TerminalOptions = {}): Promise<Terminal> {
    return openTerminal(this.client, this.path, options);
  }

  /** Ends its processes and keeps its disk. */
  stop(options: StopOptions = {}): Promise<SandboxInfo> {
    return this.saw(this.client.keyed<api.Sandbox>("POST", `${this.path}/stop`, { json: options, timeoutMs: STOP_TIMEOUT_MS }));
  }

  /** Runs it again on the disk it had. */
  start(options: StartOptions = {}): Promise<StartedInfo> {
    const timeoutMs = (options.waitMs ?? WAIT_MS_DEFAULT) + ANSWER_MARGIN_MS;
    return this.saw(this.client.keyed<api.StartedSandbox>("POST", `${this.path}/start`, { json: options, timeoutMs }));
  }

  /** An image of its files as they are now; it goes on. Others start from it like from any image. */
  snapshot(options: { name?: string } = {}): Promise<Snapshot> {
    return this.client.keyed<api.Snapshot>("POST", `${this.path}/snapshots`, { json: options, timeoutMs: SNAPSHOT_TIMEOUT_MS });
  }

  /**
   * Children that have its files, 1 to 100,000; it goes on. Resolves as soon as the fork is written down: loop over it for each child as it
   * finishes, or `wait()`. Without a count `each` says it by its length.
   */
  fork(count: number, options?: ForkOptions): Promise<Fork>;
  fork(options: ForkOptions): Promise<Fork>;
  async fork(first: number | ForkOptions, options: ForkOptions = {}): Promise<Fork> {
    const json = typeof first === "number" ? forkBody(options, first) : forkBody(first, undefined);
    return new Fork(this.client, await this.client.keyed<api.Fork>("POST", `${this.path}/forks`, { json }));
  }

  /** What it has changed since it was made or forked, whether it runs or is stopped; or what differs from another sandbox of its tree. One page. */
  diff(options: DiffOptions = {}): Promise<Diff> {
    return readDiff(this.client, this.path, options);
  }

  /** Every change: `for await (const { kind, path } of sandbox.changes())`. */
  changes(options: Omit<DiffOptions, "cursor"> = {}): AsyncGenerator<DiffEntry, void, undefined> {
    return eachChange(this.client, this.path, options);
  }

  /** The same of its text files, for `git apply`. */
  diffPatch(options: DiffRange = {}): Promise<ReadableStream<Uint8Array>> {
    return streamDiff(this.client, this.path, "patch", options);
  }

  /** The same as tar, with `.wh.<name>` for what is gone. */
  diffTar(options: DiffRange = {}): Promise<ReadableStream<Uint8Array>> {
    return streamDiff(this.client, this.path, "tar", options);
  }

  /** Of a child: its parent goes on from its files, under the parent's id. `force`: also where the parent's own have changed since the fork. */
  promote(options: { force?: boolean } = {}): Promise<Promotion> {
    return this.client.keyed<api.Promotion>("POST", `${this.path}/promote`, { json: options, timeoutMs: PROMOTE_TIMEOUT_MS });
  }

  /** The whole tree of forks that it belongs to. */
  lineage(): Promise<Lineage> {
    return this.client.json<api.Lineage>("GET", `${this.path}/lineage`);
  }

  /** Mounts a volume: into a running one at once, else at its next start. The same mount again changes nothing. */
  mount(mount: MountOptions): Promise<SandboxInfo> {
    return this.saw(this.client.keyed<api.Sandbox>("POST", `${this.path}/volumes`, { json: mount }));
  }

  /** `force`: also while processes use it; what they have open stays theirs until they close it. */
  unmount(path: string, options: { force?: boolean } = {}): Promise<SandboxInfo> {
    return this.saw(this.client.keyed<api.Sandbox>("DELETE", `${this.path}/volumes`, { query: { path, ...options } }));
  }

  /** Puts the files of a stopped one away and gives up its disk: it can be started on any node then. */
  archive(): Promise<SandboxInfo> {
    return this.saw(this.client.keyed<api.Sandbox>("POST", `${this.path}/archive`, { timeoutMs: SNAPSHOT_TIMEOUT_MS }));
  }

  /** Ends it and removes its disk, in whatever state it is. */
  delete(): Promise<void> {
    return this.client.keyedNoReply("DELETE", this.path);
  }

  /** `await using` deletes it at the end of the block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.delete();
  }
}

/** A sandbox with what was last seen of it. */
export class Sandbox extends SandboxHandle {
  info: SandboxInfo;

  constructor(client: Client, info: SandboxInfo) {
    super(client, info.id);
    this.info = info;
  }

  get state(): SandboxInfo["state"] {
    return this.info.state;
  }

  protected override async saw<Info extends SandboxInfo>(answer: Promise<Info>): Promise<Info> {
    const info = await answer;
    this.info = info;
    return info;
  }
}

/** A sandbox that was made just now, with where the time went. */
export class StartedSandbox extends Sandbox {
  readonly startPath: StartedInfo["path"];
  readonly timing: StartedInfo["timing"];

  constructor(client: Client, info: StartedInfo) {
    super(client, info);
    this.startPath = info.path;
    this.timing = info.timing;
  }
}
