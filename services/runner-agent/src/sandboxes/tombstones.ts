import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";

const TOMBSTONES_MAX = 10_000;
/** The file may hold so many times as many lines before it is written anew. */
const LINES_PER_TOMBSTONE_MAX = 2;

/** Behind the epoch of a fork's child that was deleted after its command had ended. */
const FINISHED = "finished";

interface Tombstone {
  epoch: number;
  /** It had run as it was asked to: a start that is repeated learns that. */
  hasFinished: boolean;
}

/** The epochs up to which sandboxes were deleted, so that a start that comes late is refused. The oldest are forgotten first. */
export class Tombstones {
  readonly #file: string;
  readonly #most: number;
  readonly #deleted = new Map<string, Tombstone>();
  #lines = 0;

  constructor(file: string, most = TOMBSTONES_MAX) {
    this.#file = file;
    this.#most = most;
    if (!existsSync(file)) return;
    // What follows the last end of line is what a killed process left.
    for (const line of readFileSync(file, "utf8").split("\n").slice(0, -1)) {
      const [sandboxId = "", epoch, how] = line.split(" ");
      this.#set(sandboxId, { epoch: Number(epoch), hasFinished: how === FINISHED });
    }
    this.#compact();
  }

  epochOf(sandboxId: string): number | undefined {
    return this.#deleted.get(sandboxId)?.epoch;
  }

  hasFinished(sandboxId: string, epoch: number): boolean {
    const tombstone = this.#deleted.get(sandboxId);
    return tombstone !== undefined && tombstone.epoch === epoch && tombstone.hasFinished;
  }

  add(sandboxId: string, epoch: number, hasFinished = false): void {
    this.#set(sandboxId, { epoch, hasFinished });
    appendFileSync(this.#file, lineOf(sandboxId, { epoch, hasFinished }), { mode: 0o600 });
    if (++this.#lines > LINES_PER_TOMBSTONE_MAX * this.#most) this.#compact();
  }

  #set(sandboxId: string, tombstone: Tombstone): void {
    const before = this.#deleted.get(sandboxId);
    // Of the same epoch the first one counts: deleted again, it has still run to its end before.
    const highest = before !== undefined && before.epoch >= tombstone.epoch ? before : tombstone;
    // Set anew, so that it is the youngest.
    this.#deleted.delete(sandboxId);
    this.#deleted.set(sandboxId, highest);
    if (this.#deleted.size <= this.#most) return;
    const [oldest] = this.#deleted.keys();
    if (oldest !== undefined) this.#deleted.delete(oldest);
  }

  #compact(): void {
    const draft = `${this.#file}.new`;
    writeFileSync(draft, [...this.#deleted].map(([sandboxId, tombstone]) => lineOf(sandboxId, tombstone)).join(""), { mode: 0o600 });
    renameSync(draft, this.#file);
    this.#lines = this.#deleted.size;
  }
}

function lineOf(sandboxId: string, { epoch, hasFinished }: Tombstone): string {
  return `${sandboxId} ${epoch}${hasFinished ? ` ${FINISHED}` : ""}\n`;
}
