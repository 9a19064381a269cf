import { connect, type Socket } from "node:net";

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

  /** A connection that nothing was sent on: the spare one, or a new one. It is the caller's. */
  take(): Socket {
    const spare = this.#spare;
    this.#forget();
    // One that the other side has left is known by now, or fails like any other that is lost.
    if (spare === null || spare.destroyed || spare.readableEnded) return connect({ path: this.#socketPath });
    spare.removeAllListeners();
    return spare;
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
