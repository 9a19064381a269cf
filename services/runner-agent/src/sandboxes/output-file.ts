import { once } from "node:events";
import { PassThrough } from "node:stream";
import type { InitClient } from "@banyan/runtime";

/**
 * The whole of an output stream, written to a file inside the sandbox, which becomes visible when it is whole. Where it cannot be written, a full
 * disk for one, the rest is dropped: the command is not harmed by it.
 */
export class OutputFile {
  readonly #stream = new PassThrough();
  readonly #written: Promise<unknown>;
  #isOver = false;

  constructor(init: InitClient, path: string) {
    this.#written = init.files
      .write(path, this.#stream, { parents: true, mode: 0o644 })
      .catch(() => {})
      .finally(() => {
        this.#isOver = true;
      });
  }

  /** A promise holds back whoever produces faster than the file takes it. */
  push(chunk: Buffer): Promise<void> | undefined {
    if (this.#isOver || this.#stream.write(chunk)) return undefined;
    const drained = once(this.#stream, "drain");
    return Promise.race([drained, this.#written]).then(() => {});
  }

  async end(): Promise<void> {
    this.#stream.end();
    await this.#written;
  }
}
