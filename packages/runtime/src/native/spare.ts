import { connect, type Socket } from "node:net";

/** Where an `init` listens, and perhaps a connection to it on which nothing was said yet. */
export interface Place {
  path: string;
  spare?: Socket;
}

/** Says the first thing, on the spare connection where that still leads to somebody. */
export function open({ path, spare }: Place, request: Buffer): Socket {
  if (spare !== undefined) {
    spare.on("error", () => undefined);
    spare.write(request);
    // The kernel refuses at once what nobody is left to read, and nobody has read any of it.
    if (spare.errored === null) return spare;
  }
  const socket = connect({ path });
  socket.write(request);
  return socket;
}

/** An agent's next command follows within moments or not at all. */
const KEPT_MS = 2_000;

/**
 * One connection to an `init` opened ahead, so that a command finds its handler waiting instead of having it forked. It is kept for moments only: each
 * is a process inside the sandbox.
 */
export class SpareConnection {
  readonly #socketPath: string;
  #spare: Socket | null = null;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /** The spare one where there is one. It is the caller's. */
  take(): Place {
    const spare = this.#spare;
    this.#forget();
    if (spare === null || spare.destroyed || spare.readableEnded) return { path: this.#socketPath };
    spare.removeAllListeners();
    return { path: this.#socketPath, spare };
  }

  /** Opens one for the next caller. */
  prepare(): void {
    if (this.#spare !== null || this.#isClosed) return;
    const spare = connect({ path: this.#socketPath });
    this.#spare = spare;
    const drop = (): void => {
      spare.destroy();
      if (this.#spare === spare) this.#forget();
    };
    // A spare that breaks is no loss; whoever needs a connection is told by the one it opens.
    spare.on("error", drop).on("end", drop).on("close", drop);
    this.#timer = setTimeout(drop, KEPT_MS).unref();
  }

  /** None is opened from now on. */
  close(): void {
    this.#isClosed = true;
    this.#spare?.destroy();
    this.#forget();
  }

  #forget(): void {
    clearTimeout(this.#timer);
    this.#spare = null;
  }
}
