import { type Build, type BuildFailure, buildMachine } from "@banyan/contracts";
import type { Database, Transaction } from "@banyan/db";
import { assert } from "@banyan/kernel";
import { eq } from "drizzle-orm";
import type { BuildResult } from "../domain/plan.ts";
import { appendEvents } from "./append-events.ts";
import { moveImage } from "./apply-transition.ts";
import { noteLayers } from "./note-layers.ts";
import { type BuildRow, builds, images } from "./schema.ts";

export type Ending = { kind: "finish"; result: BuildResult } | { kind: "fail"; failure: BuildFailure } | { kind: "cancel" };

/** Ends a build and moves its image with it, in one transaction. False: the execution is not the present one, or the build has ended. */
export function finishBuild(
  db: Database,
  build: { id: string; attempts: number },
  ending: Ending,
  { now, steps }: { now: number; steps?: Build["steps"] },
): Promise<boolean> {
  return db.transaction(async (tx) => {
    const [row] = await tx.select().from(builds).where(eq(builds.id, build.id)).for("update");
    if (row === undefined || row.attempts !== build.attempts || stateAfter(row, ending) === null) return false;
    await endBuild(tx, row, ending, { now, steps: steps ?? row.steps });
    return true;
  });
}

/** Taking the result apart may have been over before its beginning was written down. */
function stateAfter(row: BuildRow, ending: Ending): Build["state"] | null {
  const from = ending.kind === "finish" && row.state === "building" ? "exporting" : row.state;
  return buildMachine.next(from, ending.kind);
}

/** `row` is locked. */
export async function endBuild(tx: Transaction, row: BuildRow, ending: Ending, end: { now: number; steps: Build["steps"] }): Promise<void> {
  const state = stateAfter(row, ending);
  assert(state !== null, `a build that is ${row.state} cannot ${ending.kind}`);
  const at = new Date(end.now);
  const failure = ending.kind === "fail" ? ending.failure : null;
  const over = { holder: null, leaseUntil: null, secretsSealed: null, endedAt: at };
  await tx
    .update(builds)
    .set({ state, failure, steps: end.steps, ...over })
    .where(eq(builds.id, row.id));
  await moveImageOf(tx, row, ending, at);
  await appendEvents(tx, row, [{ at: end.now, event: { kind: "state", state } }]);
}

async function moveImageOf(tx: Transaction, row: BuildRow, ending: Ending, at: Date): Promise<void> {
  const [image] = await tx.select().from(images).where(eq(images.id, row.imageId)).for("update");
  if (image === undefined || image.state !== "building") return;
  if (ending.kind === "finish") {
    const { layers, history, config } = ending.result;
    await noteLayers(tx, layers, at);
    await moveImage(tx, image, "built", { layers, history, config, error: null, attempts: 0, deadlineAt: at });
    return;
  }
  const error = ending.kind === "fail" ? ending.failure.message : "cancelled";
  await moveImage(tx, image, ending.kind === "fail" ? "failed" : "cancelled", { error, attempts: image.attempts + 1, deadlineAt: at });
}
