import { reasonOf } from "./failures.ts";
import { textOf } from "./local-tree.ts";
import type { CopyChange, CopyOptions, CopyProgress, CopyResult } from "./options.ts";

/** How far a copy has come, and who hears of it. */
export class Tally {
  readonly result: CopyResult = { copied: 0, bytes: 0, modes: 0, unchanged: 0, deleted: 0, skipped: 0, failed: 0 };
  readonly #progress: CopyProgress = { files: 0, bytes: 0, filesTotal: 0, bytesTotal: 0, compared: false, resumed: 0 };
  readonly #options: CopyOptions;

  constructor(options: CopyOptions) {
    this.#options = options;
  }

  /** Something that is to be copied. */
  found(bytes: number): void {
    this.#progress.filesTotal++;
    this.#progress.bytesTotal += bytes;
    this.#told();
  }

  compared(): void {
    this.#progress.compared = true;
    this.#told();
  }

  /** On its way. */
  sent(bytes: number): void {
    this.#progress.bytes += bytes;
    this.#told();
  }

  /** Brought over by an earlier copy, which this one goes on with. */
  resumed(bytes: number): void {
    this.#progress.resumed += bytes;
    this.sent(bytes);
  }

  done(kind: CopyChange["kind"], path: string, bytes = 0): void {
    if (kind === "copy") {
      this.result.copied++;
      this.result.bytes += bytes;
      this.#progress.files++;
      this.#told();
    }
    if (kind === "mode") this.result.modes++;
    if (kind === "delete") this.result.deleted++;
    if (kind === "skip") this.result.skipped++;
    this.#options.onChange?.({ kind, path: textOf(path), bytes });
  }

  failed(path: string, error: unknown): void {
    this.result.failed++;
    this.#options.onProblem?.({ path: textOf(path), reason: reasonOf(error) });
  }

  #told(): void {
    this.#options.onProgress?.({ ...this.#progress });
  }
}
