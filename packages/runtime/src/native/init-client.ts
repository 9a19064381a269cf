import type { Duplex } from "node:stream";
import { dial } from "./dial.ts";
import {
  type CommandSpec,
  commandFields,
  Exec,
  type ExecHandlers,
  type ExecSpec,
  type ExitStatus,
  type OutputHandlers,
  readExit,
  runExec,
  type SignalName,
  signalNumber,
} from "./exec.ts";
import { type ProcessView, readProcess } from "./file-entry.ts";
import { encodeFrame, type Field, Fields } from "./frame.ts";
import { FrameStream } from "./frame-stream.ts";
import { InitFiles } from "./init-files.ts";
import { NativeError } from "./native-error.ts";
import { type Bytes, type CallOptions, call, collect, framesUntilOk, sendBytes, sendStream, withDeadline } from "./request.ts";
import { SpareConnection } from "./spare.ts";
import { Flag, Limit, Tag, Type } from "./wire.ts";

const KILL_DEADLINE_GRACE_MS = 10_000;
const WAIT_DEADLINE_GRACE_MS = 10_000;
/** The kernel's own bound of a unix socket's path, without its NUL. */
export const SOCKET_PATH_BYTES_MAX = 107;

export interface SpawnSpec extends CommandSpec {
  /** 1 to 64 letters, digits, `_` or `-`; no other process of this sandbox has it. */
  id: string;
  stdin?: boolean;
}

export interface ReadOutputOptions {
  offset?: number;
  length?: number;
  /** Goes on until the process has ended and all it wrote is read. */
  follow?: boolean;
  signal?: AbortSignal;
}

/** What remains to be said when the output has been read: where to go on, and whether more can come. */
export interface OutputEnd {
  sizeBytes: number;
  running: boolean;
}

/** Speaks with the `init` of one slot: one connection for each operation. What it hears is not trusted. */
export class InitClient {
  readonly files: InitFiles;
  readonly #socketPath: string;
  readonly #spare: SpareConnection;

  constructor(socketPath: string) {
    if (Buffer.byteLength(socketPath) > SOCKET_PATH_BYTES_MAX) {
      throw new NativeError("bad_request", `a socket path has at most ${SOCKET_PATH_BYTES_MAX} bytes: ${socketPath}`);
    }
    this.#socketPath = socketPath;
    this.#spare = new SpareConnection(socketPath);
    this.files = new InitFiles(socketPath);
  }

  async ping(options: CallOptions = {}): Promise<{ pid: number; uptimeUs: number }> {
    const fields = new Fields(await this.#call(Type.Ping, [], options));
    return { pid: fields.number(Tag.Pid), uptimeUs: fields.number(Tag.UptimeUs) };
  }

  /** A command is about to come: the connection for it is opened now. */
  expectExec(): void {
    this.#spare.prepare();
  }

  /** Lets go of the connection that waits for a command. */
  close(): void {
    this.#spare.close();
  }

  /** Runs a command to its end. The timeout kills all it started. */
  async exec(spec: ExecSpec, handlers: ExecHandlers = {}): Promise<ExitStatus> {
    handlers.signal?.throwIfAborted();
    return runExec(this.#spare.take(), spec, handlers);
  }

  /** A command to talk with: for streams and terminals. */
  openExec(spec: ExecSpec, handlers: OutputHandlers = {}): Exec {
    return new Exec(this.#spare.take(), spec, handlers);
  }

  /** Signals every process inside but init. With `waitMs`, and SIGKILL, waits until they are gone; how many are left. */
  async killAll(options: { signal?: SignalName | number; waitMs?: number } = {}): Promise<{ left: number }> {
    const waitMs = options.waitMs ?? 0;
    const fields: Field[] = [
      [Tag.Signal, signalNumber(options.signal ?? "SIGKILL")],
      [Tag.TimeoutMs, waitMs],
    ];
    const reply = new Fields(await this.#call(Type.KillAll, fields, { deadlineMs: waitMs + KILL_DEADLINE_GRACE_MS }));
    return { left: reply.number(Tag.Size, 0) };
  }

  /** Starts a process in the background. It outlives this connection, and this client. */
  async spawn(spec: SpawnSpec, options: CallOptions = {}): Promise<{ pid: number }> {
    const fields: Field[] = [[Tag.Id, spec.id], ...commandFields(spec, spec.stdin ? Flag.Stdin : 0)];
    const started = await call(this.#socketPath, Type.Spawn, fields, options, Type.Started);
    return { pid: new Fields(started).number(Tag.Pid) };
  }

  async processes(options: CallOptions = {}): Promise<ProcessView[]> {
    const stream = new FrameStream(this.#socketPath, encodeFrame(Type.ProcList, []), options.signal);
    const listed = await withDeadline(stream, options.deadlineMs ?? KILL_DEADLINE_GRACE_MS, () =>
      collect(stream, Type.Entry, Limit.ProcsMax, readProcess),
    );
    return listed.items;
  }

  /** The output of a background process from a byte offset on. What it returns tells where the next read goes on. */
  async *readOutput(
    id: string,
    source: "stdout" | "stderr",
    options: ReadOutputOptions = {},
  ): AsyncGenerator<Buffer, OutputEnd, undefined> {
    const fields: Field[] = [
      [Tag.Id, id],
      [Tag.Stream, source === "stdout" ? 1 : 2],
      [Tag.Offset, options.offset ?? 0],
    ];
    if (options.length !== undefined) fields.push([Tag.Length, options.length]);
    if (options.follow) fields.push([Tag.Flags, Flag.Follow]);
    const stream = new FrameStream(this.#socketPath, encodeFrame(Type.ProcRead, fields), options.signal);
    const frames = framesUntilOk(stream, [source === "stdout" ? Type.Stdout : Type.Stderr]);
    try {
      for (;;) {
        const next = await frames.next();
        if (next.done) return { sizeBytes: next.value.number(Tag.Size), running: next.value.number(Tag.State) === 1 };
        yield next.value.payload;
      }
    } finally {
      stream.connection.close();
    }
  }

  /** Resolves with the bytes taken, when all of them are. A full pipe holds it back; `signal` gives up. */
  async writeStdin(id: string, content: Bytes, options: { close?: boolean; signal?: AbortSignal } = {}): Promise<number> {
    const stream = new FrameStream(this.#socketPath, encodeFrame(Type.ProcStdin, [[Tag.Id, id]]), options.signal);
    const end: Field[] = options.close ? [[Tag.Flags, Flag.CloseStdin]] : [];
    const fields = await sendStream(stream, () => sendBytes(stream, content), end);
    return fields.number(Tag.Size);
  }

  /** With `tree`, everything the process started gets it too, also what outlived it. */
  async signalProcess(id: string, signal: SignalName | number, options: { tree?: boolean } = {}): Promise<void> {
    const fields: Field[] = [
      [Tag.Id, id],
      [Tag.Signal, signalNumber(signal)],
    ];
    if (options.tree) fields.push([Tag.Flags, Flag.Tree]);
    await this.#call(Type.ProcSignal, fields);
  }

  /** How the process ended; null when it still runs after `timeoutMs`. */
  async waitProcess(id: string, options: { timeoutMs?: number; signal?: AbortSignal } = {}): Promise<ExitStatus | null> {
    const { timeoutMs, signal } = options;
    const fields: Field[] = [[Tag.Id, id]];
    if (timeoutMs !== undefined) fields.push([Tag.TimeoutMs, timeoutMs]);
    const deadlineMs = timeoutMs === undefined ? 2 ** 31 - 1 : timeoutMs + WAIT_DEADLINE_GRACE_MS;
    try {
      return readExit(await call(this.#socketPath, Type.ProcWait, fields, { deadlineMs, ...(signal ? { signal } : {}) }, Type.Exit));
    } catch (failure) {
      if (failure instanceof NativeError && failure.errnoName === "ETIMEDOUT") return null;
      throw failure;
    }
  }

  /** A byte stream to a TCP port of the sandbox's own loopback. */
  dial(port: number, options: { deadlineMs?: number } = {}): Promise<Duplex> {
    return dial(this.#socketPath, port, options.deadlineMs);
  }

  #call(type: number, fields: readonly Field[], options: CallOptions = {}): Promise<Buffer> {
    return call(this.#socketPath, type, fields, options);
  }
}
