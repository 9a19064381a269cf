import { constants } from "node:os";
import { Connection } from "./connection.ts";
import { encodeFrame, encodeHeader, type Field, Fields, type Frame } from "./frame.ts";
import { NativeError, protocolViolation } from "./native-error.ts";
import type { Place } from "./spare.ts";
import { Flag, Limit, Tag, Type } from "./wire.ts";

/** What a client waits beyond the command's own timeout: `init` must kill the tree and drain its output first. */
const TIMEOUT_GRACE_MS = 15_000;

export type SignalName = NodeJS.Signals;

export interface CommandSpec {
  argv: readonly string[];
  env?: Readonly<Record<string, string>>;
  cwd?: string;
  /** `name`, `uid`, `name:group` or `uid:gid`; root when absent. */
  user?: string;
  timeoutMs?: number;
}

export interface ExecSpec extends CommandSpec {
  /** Bytes of each stream that are sent; what comes after them is counted and dropped. */
  outputMaxBytes?: number;
  /** A terminal instead of pipes: all output comes as stdout, and input is taken. */
  pty?: { rows: number; cols: number };
  /** Input will be written; without it the command reads from /dev/null. */
  stdin?: boolean;
}

export interface ExitStatus {
  /** Absent when a signal ended it. */
  code: number | null;
  signal: string | null;
  timedOut: boolean;
  durationUs: number;
  /** Bytes produced, sent or not. */
  stdoutBytes: number;
  stderrBytes: number;
}

export interface OutputHandlers {
  /** A promise holds the command back until it is settled. */
  onStdout?: (chunk: Buffer) => void | Promise<void>;
  onStderr?: (chunk: Buffer) => void | Promise<void>;
}

export interface ExecHandlers extends OutputHandlers {
  stdin?: AsyncIterable<Uint8Array> | Uint8Array | string;
  signal?: AbortSignal;
}

const SIGNAL_NAMES = new Map(Object.entries(constants.signals).map(([name, number]) => [number as number, name]));

export function signalNumber(signal: SignalName | number): number {
  return typeof signal === "number" ? signal : constants.signals[signal];
}

export function signalName(number: number): string {
  return SIGNAL_NAMES.get(number) ?? `SIG${number}`;
}

export function commandFields(spec: CommandSpec, flags: number): Field[] {
  const fields: Field[] = spec.argv.map((argument) => [Tag.Argv, argument]);
  for (const [key, value] of Object.entries(spec.env ?? {})) fields.push([Tag.Env, `${key}=${value}`]);
  if (spec.cwd !== undefined) fields.push([Tag.Cwd, spec.cwd]);
  if (spec.user !== undefined) fields.push([Tag.User, spec.user]);
  if (spec.timeoutMs !== undefined) fields.push([Tag.TimeoutMs, spec.timeoutMs]);
  if (flags !== 0) fields.push([Tag.Flags, flags]);
  return fields;
}

function encodeExec(spec: ExecSpec): Buffer {
  const flags = (spec.stdin ? Flag.Stdin : 0) | (spec.pty ? Flag.Pty : 0);
  const fields = commandFields(spec, flags);
  if (spec.outputMaxBytes !== undefined) fields.push([Tag.OutputMax, spec.outputMaxBytes]);
  if (spec.pty) fields.push([Tag.Rows, spec.pty.rows], [Tag.Cols, spec.pty.cols]);
  return encodeFrame(Type.Exec, fields);
}

export function readExit(payload: Buffer): ExitStatus {
  const fields = new Fields(payload);
  const signal = fields.number(Tag.Signal, 0);
  return {
    code: signal === 0 ? fields.number(Tag.Code) : null,
    signal: signal === 0 ? null : signalName(signal),
    timedOut: (fields.number(Tag.Flags, 0) & Flag.TimedOut) !== 0,
    durationUs: fields.number(Tag.DurationUs),
    stdoutBytes: fields.number(Tag.OutBytes),
    stderrBytes: fields.number(Tag.ErrBytes),
  };
}

/** A command in the foreground of one connection: closing it kills the command with all it started. */
export class Exec {
  /** The pid inside the sandbox. Rejects as `exit` does when there never was one. */
  readonly started: Promise<number>;
  /** Settles once: with how the command ended, or with why that is not known. */
  readonly exit: Promise<ExitStatus>;
  readonly #connection: Connection;
  readonly #handlers: OutputHandlers;
  readonly #settle: { started: (pid: number) => void; exit: (status: ExitStatus) => void; fail: (failure: NativeError) => void };
  readonly #guard: NodeJS.Timeout | undefined;
  #status: ExitStatus | undefined;

  constructor(to: Place, spec: ExecSpec, handlers: OutputHandlers = {}) {
    const started = Promise.withResolvers<number>();
    const exit = Promise.withResolvers<ExitStatus>();
    this.started = started.promise;
    this.exit = exit.promise;
    // Whoever only waits for one of the two must not be told of the other's rejection as unhandled.
    started.promise.catch(() => undefined);
    exit.promise.catch(() => undefined);
    this.#handlers = handlers;
    this.#settle = {
      started: started.resolve,
      exit: exit.resolve,
      fail: (failure) => {
        started.reject(failure);
        exit.reject(failure);
      },
    };
    this.#connection = new Connection(to, encodeExec(spec), {
      onFrame: (frame) => this.#take(frame),
      onEnd: (failure) => this.#end(failure),
    });
    if (spec.timeoutMs !== undefined && spec.timeoutMs > 0) {
      const late = (): NativeError => new NativeError("timeout", "the sandbox did not report the end of a command that ran out of time");
      this.#guard = setTimeout(() => this.#connection.fail(late()), spec.timeoutMs + TIMEOUT_GRACE_MS);
    }
  }

  get isEnded(): boolean {
    return this.#connection.isEnded;
  }

  /** Input for the command. Resolves when more may be written. */
  async write(bytes: Uint8Array | string): Promise<void> {
    const input = Buffer.from(typeof bytes === "string" ? Buffer.from(bytes) : bytes);
    for (let at = 0; at < input.length; at += Limit.DataMax) {
      const part = input.subarray(at, at + Limit.DataMax);
      await this.#connection.writeFrame(encodeHeader(Type.Stdin, part.length), part);
    }
  }

  closeStdin(): void {
    this.#say(encodeHeader(Type.StdinClose, 0));
  }

  resize(rows: number, cols: number): void {
    this.#say(
      encodeFrame(Type.Resize, [
        [Tag.Rows, rows],
        [Tag.Cols, cols],
      ]),
    );
  }

  signal(signal: SignalName | number): void {
    this.#say(encodeFrame(Type.Signal, [[Tag.Signal, signalNumber(signal)]]));
  }

  /** Kills the command, with all it started, by hanging up. */
  close(reason = new NativeError("aborted", "the command was abandoned")): void {
    this.#connection.fail(reason);
  }

  #say(frame: Buffer): void {
    // What is said to a command that has ended is late, not wrong.
    if (!this.#connection.isEnded) this.#connection.write(frame)?.catch(() => undefined);
  }

  #take(frame: Frame): Promise<void> | undefined {
    switch (frame.type) {
      case Type.Stdout:
        return this.#handlers.onStdout?.(frame.payload) ?? undefined;
      case Type.Stderr:
        return this.#handlers.onStderr?.(frame.payload) ?? undefined;
      case Type.Started:
        this.#settle.started(new Fields(frame.payload).number(Tag.Pid));
        return undefined;
      case Type.Exit:
        this.#status = readExit(frame.payload);
        this.#connection.close();
        return undefined;
      default:
        throw protocolViolation(`frame ${frame.type} during a command`);
    }
  }

  #end(failure: NativeError | undefined): void {
    clearTimeout(this.#guard);
    if (this.#status !== undefined) this.#settle.exit(this.#status);
    else
      this.#settle.fail(failure ?? new NativeError("connection_lost", "the sandbox's init closed the connection before the command ended"));
  }
}

async function feed(exec: Exec, input: AsyncIterable<Uint8Array> | Uint8Array | string): Promise<void> {
  if (typeof input === "string" || input instanceof Uint8Array) await exec.write(input);
  else for await (const chunk of input) await exec.write(chunk);
  exec.closeStdin();
}

/** Runs a command to its end. An abort kills it. A failing `stdin` source does too, and its failure is the result. */
export async function runExec(to: Place, spec: ExecSpec, handlers: ExecHandlers): Promise<ExitStatus> {
  const { stdin, signal } = handlers;
  signal?.throwIfAborted();
  const exec = new Exec(to, { ...spec, stdin: stdin !== undefined }, handlers);
  const abort = (): void => exec.close(new NativeError("aborted", "the command was aborted", { cause: signal?.reason }));
  signal?.addEventListener("abort", abort, { once: true });
  try {
    if (stdin !== undefined) {
      feed(exec, stdin).catch((cause: unknown) => {
        // The command may end without reading its input; only a source that fails by itself is a failure.
        if (!exec.isEnded) exec.close(new NativeError("aborted", "the command's input failed", { cause }));
      });
    }
    return await exec.exit;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}
