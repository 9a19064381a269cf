import type { Socket } from "node:net";
import { Fields, type Frame, FrameDecoder } from "./frame.ts";
import { NativeError, type NativeErrorCode } from "./native-error.ts";
import { open, type Place } from "./spare.ts";
import { Tag, Type } from "./wire.ts";

const CODES: ReadonlySet<string> = new Set<NativeErrorCode>([
  "not_found",
  "not_executable",
  "no_such_user",
  "bad_cwd",
  "bad_request",
  "too_many",
  "errno",
]);
/** What a sandbox says is shown to people: a message is cut where it stops being one. */
const MESSAGE_CHARS_MAX = 4_096;

/** The failure that an ERROR frame tells. */
export function readError(payload: Buffer): NativeError {
  const fields = new Fields(payload);
  const word = fields.text(Tag.Code, "errno");
  const code = (CODES.has(word) ? word : "errno") as NativeErrorCode;
  const errno = Math.min(fields.number(Tag.Errno, 0), 4_095);
  const message = fields.text(Tag.Message, "").slice(0, MESSAGE_CHARS_MAX);
  const stays = fields.has(Tag.Size) ? { files: fields.number(Tag.Size), last: fields.text(Tag.Path, "") || null } : undefined;
  return new NativeError(code, message, { errno, ...(fields.has(Tag.Step) && { step: fields.text(Tag.Step) }), ...(stays && { stays }) });
}

export interface ConnectionHandler {
  /** A promise holds back what follows until it is settled. ERROR frames do not come here. */
  onFrame(frame: Frame): Promise<void> | undefined;
  /** Called once: with a failure, or without one when the other side closed after its last whole frame. */
  onEnd(failure: NativeError | undefined): void;
}

/** One request on one socket. Whatever breaks, `onEnd` is called exactly once and the socket is gone. */
export class Connection {
  readonly #socket: Socket;
  readonly #decoder = new FrameDecoder();
  readonly #handler: ConnectionHandler;
  #ended = false;
  #isHeldBack = false;
  /** The other side is done; said when what it sent before has been delivered. */
  #isFinished = false;
  #brokenBy: NativeError | undefined;

  constructor(to: Place, request: Buffer, handler: ConnectionHandler) {
    this.#handler = handler;
    this.#socket = open(to, request);
    this.#socket.on("data", (chunk) => this.#receive(chunk));
    this.#socket.on("end", () => this.#finish());
    this.#socket.on("close", () => this.#finish());
    this.#socket.on("error", (cause) => {
      this.#brokenBy = new NativeError("connection_lost", `the sandbox's init is lost: ${cause.message}`, { cause });
      this.#finish();
    });
  }

  get isEnded(): boolean {
    return this.#ended;
  }

  /** Resolves when more may be written. Rejects when nothing can be. */
  write(bytes: Buffer): Promise<void> | undefined {
    if (this.#ended) throw new NativeError("connection_lost", "the connection has ended");
    if (this.#socket.write(bytes)) return undefined;
    return this.#drained();
  }

  /** Holds the bytes of one frame together without copying its content. */
  writeFrame(header: Buffer, payload: Buffer): Promise<void> | undefined {
    this.#socket.cork();
    try {
      this.#socket.write(header);
      return this.write(payload);
    } finally {
      this.#socket.uncork();
    }
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#isHeldBack) this.#socket.resume();
  }

  /** Ends it as the caller wishes; nothing more is reported but `failure`. */
  close(failure?: NativeError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#socket.destroy();
    this.#handler.onEnd(failure);
  }

  fail(failure: NativeError): void {
    this.close(failure);
  }

  #receive(chunk: Buffer): void {
    this.#deliver(this.#decoder.push(chunk));
  }

  #deliver(frames: Iterator<Frame, void, void>): void {
    try {
      for (let next = frames.next(); !next.done && !this.#ended; next = frames.next()) {
        if (next.value.type === Type.Error) throw readError(next.value.payload);
        const wait = this.#handler.onFrame(next.value);
        if (wait === undefined) continue;
        this.#holdBack(wait, frames);
        return;
      }
    } catch (cause) {
      this.fail(asNativeError(cause));
    }
  }

  #holdBack(wait: Promise<void>, frames: Iterator<Frame, void, void>): void {
    this.#isHeldBack = true;
    this.#socket.pause();
    const goOn = (): void => {
      this.#isHeldBack = false;
      this.#deliver(frames);
      if (this.#isHeldBack || this.#ended) return;
      if (this.#isFinished) this.#finish();
      else this.#socket.resume();
    };
    wait.then(goOn, (cause: unknown) => this.fail(asNativeError(cause)));
  }

  #finish(): void {
    this.#isFinished = true;
    if (this.#ended || this.#isHeldBack) return;
    const cut = this.#decoder.isEmpty ? undefined : new NativeError("connection_lost", "the sandbox's init broke off inside a frame");
    this.close(this.#brokenBy ?? cut);
  }

  #drained(): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        this.#socket.off("drain", settle);
        this.#socket.off("close", settle);
        if (this.#ended) reject(new NativeError("connection_lost", "the connection has ended"));
        else resolve();
      };
      this.#socket.once("drain", settle);
      this.#socket.once("close", settle);
    });
  }
}

export function asNativeError(cause: unknown): NativeError {
  if (cause instanceof NativeError) return cause;
  return new NativeError("aborted", cause instanceof Error ? cause.message : String(cause), { cause });
}
