import { BuildImage } from "@banyan/contracts";
import type { Context } from "../context.ts";
import { failureOf } from "../domain/failure.ts";
import { EXECUTIONS_MAX } from "../execution/ending.ts";
import { findOverdue } from "../store/find-overdue.ts";
import { findQueued } from "../store/find-queued.ts";
import { finishBuild } from "../store/finish-build.ts";
import { requeueBuild } from "../store/requeue-build.ts";
import type { BuildRow } from "../store/schema.ts";

const PAGE = 100;
/** A build that waits this long may have lost its job. */
const JOB_LOST_MS = 30_000;
const SAY_AGAIN_MS = 60_000;

/** Ends what is past its deadline, takes up what a lost builder has left, and says again the jobs of those that wait. */
export async function sweepBuilds(ctx: Context): Promise<boolean> {
  const { db, bus, clock } = ctx;
  const now = clock.now();
  const overdue = await findOverdue(db, { now, limit: PAGE });
  for (const build of overdue) await settle(ctx, build, now);
  const waiting = await findQueued(db, { before: now - JOB_LOST_MS, limit: PAGE });
  for (const { id, imageId, attempts } of waiting) {
    // Once a minute, however many builders look.
    const dedupeId = `${id} ${attempts} ${Math.floor(now / SAY_AGAIN_MS)}`;
    await bus.publishJob(BuildImage, { imageId, version: 0 }, { dedupeId });
  }
  return overdue.length === PAGE;
}

async function settle({ db, bus, bell, logger }: Context, build: BuildRow, now: number): Promise<void> {
  const isLate = build.deadlineAt.getTime() <= now;
  const isSpent = build.attempts >= EXECUTIONS_MAX;
  if (isLate || isSpent) {
    const waited = build.state === "queued" ? { message: "The build waited too long for its turn." } : {};
    const failure = isLate ? failureOf("build.timeout", waited) : failureOf("build.interrupted", {});
    await finishBuild(db, build, { kind: "fail", failure }, { now });
  } else if (await requeueBuild(db, build, now)) {
    logger.warn({ build: build.id, attempts: build.attempts }, "a builder was lost; its build is taken up again");
    await bus.publishJob(BuildImage, { imageId: build.imageId, version: 0 });
  }
  bell.ring(build.id);
}
