import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ForkId, ForkOutcome, SandboxId } from "@banyan/contracts";
import { type Logger, messageOf } from "@banyan/kernel";
import { z } from "zod";

/** How the command of a fork's child ended. */
export const OutcomeRecord = z.object({
  format: z.literal(1),
  forkId: ForkId,
  index: z.int().min(0),
  sandboxId: SandboxId,
  epoch: z.int(),
  /** Null: it was interrupted. */
  outcome: ForkOutcome.nullable(),
  after: z.enum(["keep", "stop", "delete"]),
  /** What became of the sandbox. Null: `after` is still to be carried out. */
  sandbox: z.enum(["running", "stopped", "deleted"]).nullable(),
  at: z.int(),
});
export type OutcomeRecord = z.infer<typeof OutcomeRecord>;

const SUFFIX = ".json";
const DRAFT_SUFFIX = ".new";

/** One file per outcome, from its end until the bus has taken it. Like the journal it survives the death of this process, not a loss of power. */
export class Outcomes {
  readonly #directory: string;
  /** Told of each that can be said. */
  onReady: () => void = () => {};
  /** Names of those that can be said, the oldest first. */
  readonly #ready = new Set<string>();

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  write(record: OutcomeRecord): void {
    const name = nameOf(record);
    const path = join(this.#directory, name);
    writeFileSync(path + DRAFT_SUFFIX, JSON.stringify(record), { mode: 0o600 });
    renameSync(path + DRAFT_SUFFIX, path);
    if (record.sandbox === null) return;
    this.#ready.add(name);
    this.onReady();
  }

  /** The first of those that can be said, at most so many. */
  ready(max: number, logger: Logger): OutcomeRecord[] {
    const names = [...this.#ready].slice(0, max);
    return names.flatMap((name) => this.#read(name, logger) ?? []);
  }

  /** What an earlier process has left. Afterwards those of them that can be said are ready. */
  open(logger: Logger): OutcomeRecord[] {
    for (const name of readdirSync(this.#directory)) if (name.endsWith(DRAFT_SUFFIX)) rmSync(join(this.#directory, name), { force: true });
    const names = readdirSync(this.#directory).filter((name) => name.endsWith(SUFFIX));
    const records = names.flatMap((name) => this.#read(name, logger) ?? []);
    for (const record of records) if (record.sandbox !== null) this.#ready.add(nameOf(record));
    return records;
  }

  remove(record: OutcomeRecord): void {
    this.#ready.delete(nameOf(record));
    rmSync(join(this.#directory, nameOf(record)), { force: true });
  }

  #read(name: string, logger: Logger): OutcomeRecord | null {
    try {
      return OutcomeRecord.parse(JSON.parse(readFileSync(join(this.#directory, name), "utf8")));
    } catch (error) {
      logger.error({ file: name, reason: messageOf(error) }, "an outcome cannot be read and is given up");
      this.#ready.delete(name);
      rmSync(join(this.#directory, name), { force: true });
      return null;
    }
  }
}

function nameOf({ sandboxId, epoch }: OutcomeRecord): string {
  return `${sandboxId}.${epoch}${SUFFIX}`;
}
