import { Connection } from "./connection.ts";
import type { Frame } from "./frame.ts";
import { NativeError } from "./native-error.ts";

/** Frames that wait for a slow reader before the socket is paused: at most 16 of 64 KiB. */
const QUEUE_MAX = 16;

/** The replies of one request as an async iterable: as slow as its reader, and closed when the reader leaves. */
export class FrameStream implements AsyncIterableIterator<Frame, undefined, undefined> {
  readonly connection: Connection;
  readonly #queue: Frame[] = [];
  #waiting: { resolve: (result: IteratorResult<Frame, undefined>) => void; reject: (failure: NativeError) => void } | undefined;
  #ended = false;
  #failure: NativeError | undefined;

  constructor(socketPath: string, request: Buffer, signal?: AbortSignal) {
    this.connection = new Connection({ path: socketPath }, request, {
      onFrame: (frame) => {
        this.#put(frame);
        return undefined;
      },
      onEnd: (failure) => this.#end(failure),
    });
    if (signal !== undefined) this.#follow(signal);
  }

  /** The failure that ended the stream, seen or not yet seen by its reader. */
  get failure(): NativeError | undefined {
    return this.#failure;
  }

  next(): Promise<IteratorResult<Frame, undefined>> {
    const frame = this.#queue.shift();
    if (frame !== undefined) {
      if (this.#queue.length < QUEUE_MAX / 2) this.connection.resume();
      return Promise.resolve({ done: false, value: frame });
    }
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  return(): Promise<IteratorResult<Frame, undefined>> {
    this.connection.close();
    this.#queue.length = 0;
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #put(frame: Frame): void {
    const waiting = this.#waiting;
    if (waiting !== undefined) {
      this.#waiting = undefined;
      waiting.resolve({ done: false, value: frame });
      return;
    }
    this.#queue.push(frame);
    if (this.#queue.length >= QUEUE_MAX) this.connection.pause();
  }

  #end(failure: NativeError | undefined): void {
    this.#ended = true;
    this.#failure = failure;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) return;
    if (failure === undefined) waiting.resolve({ done: true, value: undefined });
    else waiting.reject(failure);
  }

  #follow(signal: AbortSignal): void {
    const abort = (): void => this.connection.fail(new NativeError("aborted", "the request was aborted", { cause: signal.reason }));
    if (signal.aborted) queueMicrotask(abort);
    else signal.addEventListener("abort", abort, { once: true });
  }
}
