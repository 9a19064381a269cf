import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import type { CgroupWrite } from "../cgroup/cgroup.ts";
import { mountIds, type VolumeRequest, volumeField } from "./attach-volumes.ts";
import { readError } from "./connection.ts";
import { encodeFrame, type Field, Fields, FrameDecoder } from "./frame.ts";
import { NativeError, protocolViolation } from "./native-error.ts";
import { AttachFlag, AttachType, Tag, Type } from "./wire.ts";

const DEADLINE_MS = 30_000;
const KILL_TIMEOUT_MS = 30_000;
const RUN_TIMEOUT_MS = 10_000;
/** A flush of a whole disk of a sandbox is part of it. */
const FREEZE_DEADLINE_MS = 300_000;
const CLOSE_TIMEOUT_MS = 10_000;

export interface AttachRequest {
  /** PID 1 of the slot as the host sees it. */
  pid: number;
  startTime: number;
  /** Layers, top first. Each path at most 255 bytes: the kernel's bound for a mount option. */
  lower: readonly string[];
  upper: string;
  work: string;
  hostname?: string;
  /** Written into the tree before anything runs in it: `/etc/hosts` and the like. */
  seeds?: readonly { path: string; content: string | Uint8Array }[];
  cgroups?: readonly CgroupWrite[];
  /** No sync of the upper at unmount, and none for an fsync inside. */
  volatile?: boolean;
  netDown?: boolean;
  /** Mounts as on a kernel that takes no layer by itself, which is otherwise found out: up to some 200 layers. */
  mountAtOnce?: boolean;
  volumes?: readonly VolumeRequest[];
}

/** A volume for a slot that runs. `lower` and `upper` as its attach had them, for a `cow`. */
export type MountRequest = Pick<AttachRequest, "pid" | "startTime" | "lower" | "upper" | "mountAtOnce"> & { volume: VolumeRequest };

export interface AttachTiming {
  mountUs: number;
  pivotUs: number;
  cgroupUs: number;
  totalUs: number;
  /** As the kernel counts the mounts of the volumes, in their order. */
  mountIds: number[];
}

interface Waiting {
  resolve(fields: Fields): void;
  reject(failure: NativeError): void;
  timer: NodeJS.Timeout;
}

/** The runner's one long-lived helper with root's powers over mounts. Requests run side by side; replies find theirs by id. */
export class AttachClient {
  /** Resolves when the helper has ended, wanted or not. */
  readonly exited: Promise<void>;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #decoder = new FrameDecoder();
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #lost: NativeError | undefined;

  static async start(options: { binaryPath: string }): Promise<AttachClient> {
    const child = spawn(options.binaryPath, [], { stdio: ["pipe", "pipe", "inherit"] });
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", (cause) => reject(new NativeError("connection_lost", `attach does not start: ${cause.message}`, { cause })));
    });
    return new AttachClient(child);
  }

  private constructor(child: ChildProcessByStdio<Writable, Readable, null>) {
    this.#child = child;
    child.stdout.on("data", (chunk: Buffer) => this.#receive(chunk));
    // A broken pipe is told by the exit that caused it.
    child.stdin.on("error", () => undefined);
    child.stdout.on("error", () => undefined);
    this.exited = new Promise((resolve) => {
      child.once("close", (code, signal) => {
        this.#lose(new NativeError("connection_lost", `attach has ended (${signal ?? `exit ${code}`})`));
        resolve();
      });
    });
  }

  async attach(request: AttachRequest): Promise<AttachTiming> {
    const fields: Field[] = [
      [Tag.Pid, request.pid],
      [Tag.Starttime, request.startTime],
      ...request.lower.map((path): Field => [Tag.Lower, path]),
      [Tag.Upper, request.upper],
      [Tag.Work, request.work],
      ...(request.seeds ?? []).map(({ path, content }): Field => [Tag.Seed, pair(path, content)]),
      ...cgroupFields(request.cgroups ?? []),
      ...(request.volumes ?? []).map(volumeField),
    ];
    if (request.hostname !== undefined) fields.push([Tag.Hostname, request.hostname]);
    const flags =
      (request.volatile ? AttachFlag.Volatile : 0) |
      (request.netDown ? AttachFlag.NetDown : 0) |
      (request.mountAtOnce ? AttachFlag.AtOnce : 0);
    if (flags !== 0) fields.push([Tag.Flags, flags]);
    const reply = await this.#request(AttachType.Attach, fields);
    return {
      mountUs: reply.number(Tag.MountUs),
      pivotUs: reply.number(Tag.PivotUs),
      cgroupUs: reply.number(Tag.CgroupUs),
      totalUs: reply.number(Tag.TotalUs),
      mountIds: mountIds(reply),
    };
  }

  /** Mounts a volume in a slot that runs; its id for `unmount`. */
  async mount(request: MountRequest): Promise<number> {
    const fields: Field[] = [
      [Tag.Pid, request.pid],
      [Tag.Starttime, request.startTime],
      volumeField(request.volume),
      [Tag.Upper, request.upper],
      ...request.lower.map((path): Field => [Tag.Lower, path]),
    ];
    if (request.mountAtOnce) fields.push([Tag.Flags, AttachFlag.AtOnce]);
    const [id] = mountIds(await this.#request(AttachType.Mount, fields));
    if (id === undefined) throw protocolViolation("a mount without an id");
    return id;
  }

  /** Gone already is success. EBUSY while something uses it, unless by `force`: then what is open stays so until it is closed. */
  async unmount(request: { pid: number; startTime: number; mountId: number; force: boolean }): Promise<void> {
    const fields: Field[] = [
      [Tag.Pid, request.pid],
      [Tag.Starttime, request.startTime],
      [Tag.MountId, request.mountId],
    ];
    if (request.force) fields.push([Tag.Flags, AttachFlag.Force]);
    await this.#request(AttachType.Unmount, fields);
  }

  /** Resolves when the process, and with it its whole pid namespace, is gone. Gone already is success. */
  async kill(request: { pid: number; startTime: number; timeoutMs?: number }): Promise<void> {
    const timeoutMs = request.timeoutMs ?? KILL_TIMEOUT_MS;
    const fields: Field[] = [
      [Tag.Pid, request.pid],
      [Tag.Starttime, request.startTime],
      [Tag.TimeoutMs, timeoutMs],
    ];
    await this.#request(AttachType.Kill, fields, timeoutMs + DEADLINE_MS);
  }

  /**
   * A directory for one sandbox holding `upper` and `work`. `limitBytes` 0 is no limit; `plain` where there is no btrfs; with `blank` a snapshot of that
   * disk.
   */
  async diskCreate(request: { path: string; limitBytes?: number; plain?: boolean; blank?: string | undefined }): Promise<void> {
    const fields: Field[] = [
      [Tag.Path, request.path],
      [Tag.Limit, request.limitBytes ?? 0],
    ];
    if (request.blank !== undefined) fields.push([Tag.Blank, request.blank]);
    if (request.plain) fields.push([Tag.Flags, AttachFlag.Plain]);
    await this.#request(AttachType.DiskCreate, fields);
  }

  async diskDelete(path: string): Promise<void> {
    await this.#request(AttachType.DiskDelete, [[Tag.Path, path]]);
  }

  async diskLimit(path: string, limitBytes: number): Promise<void> {
    const fields: Field[] = [
      [Tag.Path, path],
      [Tag.Limit, limitBytes],
    ];
    await this.#request(AttachType.DiskLimit, fields);
  }

  /** Bytes charged to the disk as of the filesystem's last commit. */
  async diskUsage(path: string): Promise<number> {
    return (await this.#request(AttachType.DiskUsage, [[Tag.Path, path]])).number(Tag.Size);
  }

  /**
   * Stops the processes of the cgroup directory `freezer`, makes `to`, and lets them go on: a read-only snapshot of the disk `path`, or whatever
   * `argv` makes of it. How long they stood still, in ms. Null: nothing runs in it.
   */
  async freeze(
    request: { freezer: string | null } & ({ path: string; to: string } | { argv: readonly string[]; timeoutMs: number }),
  ): Promise<number> {
    const fields: Field[] = request.freezer === null ? [] : [[Tag.Freezer, request.freezer]];
    if ("path" in request) fields.push([Tag.Path, request.path], [Tag.To, request.to]);
    else {
      const argv = request.argv.map((argument): Field => [Tag.Argv, argument]);
      fields.push(...argv, [Tag.TimeoutMs, request.timeoutMs], [Tag.Flags, AttachFlag.Plain]);
    }
    const deadlineMs = "path" in request ? FREEZE_DEADLINE_MS : request.timeoutMs + DEADLINE_MS;
    return (await this.#request(AttachType.Freeze, fields, deadlineMs)).number(Tag.PausedUs) / 1_000;
  }

  async diskEnable(path: string): Promise<void> {
    await this.#request(AttachType.DiskEnable, [[Tag.Path, path]]);
  }

  async cgroup(writes: readonly CgroupWrite[]): Promise<void> {
    await this.#request(AttachType.Cgroup, cgroupFields(writes));
  }

  /** Runs a tool of the host to its end, without a fork of this large process. The output is stdout and stderr together, cut at 2 KiB. */
  async run(argv: readonly string[], options: { stdin?: string; timeoutMs?: number } = {}): Promise<{ exitCode: number; output: string }> {
    const timeoutMs = options.timeoutMs ?? RUN_TIMEOUT_MS;
    const fields: Field[] = [...argv.map((argument): Field => [Tag.Argv, argument]), [Tag.TimeoutMs, timeoutMs]];
    if (options.stdin !== undefined) fields.push([Tag.Data, options.stdin]);
    const reply = await this.#request(AttachType.Run, fields, timeoutMs + DEADLINE_MS);
    return { exitCode: reply.number(Tag.Code), output: reply.text(Tag.Data) };
  }

  /** Lets what runs finish, then ends the helper. */
  async close(): Promise<void> {
    this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), CLOSE_TIMEOUT_MS);
    await this.exited;
    clearTimeout(timer);
  }

  #request(type: number, fields: readonly Field[], deadlineMs = DEADLINE_MS): Promise<Fields> {
    if (this.#lost !== undefined) return Promise.reject(this.#lost);
    const id = this.#nextId++;
    // The id is the first field, where the helper finds it even when the request then kills its task.
    const frame = encodeFrame(type, [[Tag.Id, id], ...fields]);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new NativeError("timeout", `attach did not answer within ${deadlineMs} ms`));
      }, deadlineMs);
      this.#waiting.set(id, { resolve, reject, timer });
      this.#child.stdin.write(frame);
    });
  }

  #receive(chunk: Buffer): void {
    try {
      for (const frame of this.#decoder.push(chunk)) {
        const id = new Fields(frame.payload).number(Tag.Id);
        // A reply that nobody waits for any more came after its deadline.
        const waiting = this.#waiting.get(id);
        if (waiting === undefined) continue;
        this.#waiting.delete(id);
        clearTimeout(waiting.timer);
        if (frame.type === Type.Ok) waiting.resolve(new Fields(frame.payload));
        else waiting.reject(readError(frame.payload));
      }
    } catch (cause) {
      this.#lose(new NativeError("protocol", "attach broke the protocol", { cause }));
      this.#child.kill("SIGKILL");
    }
  }

  #lose(failure: NativeError): void {
    this.#lost ??= failure;
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(this.#lost);
    }
    this.#waiting.clear();
  }
}

function pair(name: string, value: string | Uint8Array): Buffer {
  if (name.includes("\0")) throw new NativeError("bad_request", "a name may not hold a NUL byte");
  return Buffer.concat([Buffer.from(`${name}\0`), typeof value === "string" ? Buffer.from(value) : value]);
}

function cgroupFields(writes: readonly CgroupWrite[]): Field[] {
  return writes.map(({ file, value }): Field => [Tag.Cgroup, pair(file, value)]);
}
