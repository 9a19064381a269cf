import type { Build } from "@banyan/contracts";
import { type Database, translate } from "@banyan/db";
import { presentExecution } from "./present-execution.ts";
import { builds } from "./schema.ts";

export interface Progress {
  steps: Build["steps"];
  logBytes: number;
  state: "building" | "exporting";
}

/** The live picture of an execution; of one that is not the present one nothing is written. */
export async function recordProgress(db: Database, build: { id: string; attempts: number }, progress: Progress): Promise<void> {
  await translate(async () => db.orm.update(builds).set(progress).where(presentExecution(build)));
}
