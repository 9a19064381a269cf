import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";

const TOMBSTONES_MAX = 10_000;
/** The file may hold this many lines before it is written anew. */
const LINES_MAX = 2 * TOMBSTONES_MAX;

/** The epochs up to which sandboxes were deleted, so that a start that comes late is refused. The oldest are forgotten first. */
export class Tombstones {
  readonly #file: string;
  readonly #epochs = new Map<string, number>();
  #lines = 0;

  constructor(file: string) {
    this.#file = file;
    if (!existsSync(file)) return;
    // What follows the last end of line is what a killed process left.
    for (const line of readFileSync(file, "utf8").split("\n").slice(0, -1)) {
      const [sandboxId = "", epoch] = line.split(" ");
      this.#set(sandboxId, Number(epoch));
    }
    this.#compact();
  }

  epochOf(sandboxId: string): number | undefined {
    return this.#epochs.get(sandboxId);
  }

  add(sandboxId: string, epoch: number): void {
    this.#set(sandboxId, epoch);
    appendFileSync(this.#file, `${sandboxId} ${epoch}\n`, { mode: 0o600 });
    if (++this.#lines > LINES_MAX) this.#compact();
  }

  #set(sandboxId: string, epoch: number): void {
    const highest = Math.max(epoch, this.#epochs.get(sandboxId) ?? epoch);
    // Set anew, so that it is the youngest.
    this.#epochs.delete(sandboxId);
    this.#epochs.set(sandboxId, highest);
    if (this.#epochs.size <= TOMBSTONES_MAX) return;
    const [oldest] = this.#epochs.keys();
    if (oldest !== undefined) this.#epochs.delete(oldest);
  }

  #compact(): void {
    const draft = `${this.#file}.new`;
    writeFileSync(draft, [...this.#epochs].map(([sandboxId, epoch]) => `${sandboxId} ${epoch}\n`).join(""), { mode: 0o600 });
    renameSync(draft, this.#file);
    this.#lines = this.#epochs.size;
  }
}
