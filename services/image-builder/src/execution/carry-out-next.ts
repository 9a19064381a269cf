import { BuildImage } from "@banyan/contracts";
import type { Context } from "../context.ts";
import { claimBuild } from "../store/claim-build.ts";
import { findQueued } from "../store/find-queued.ts";
import { carryOut } from "./carry-out.ts";
import { LEASE_MS } from "./lease.ts";

/**
 * A job says that a build waits, not which one is next: that is decided by whose turn it is. A job that finds only builds whose organisation has
 * as many running as it may ends without one; so whoever ends a build says a job for those that wait.
 */
export async function carryOutNext(ctx: Context): Promise<void> {
  const { db, clock, holder, config } = ctx;
  const build = await claimBuild(db, { holder, now: clock.now(), leaseMs: LEASE_MS, perOrgMax: config.perOrgAtOnce });
  if (build === null) return;
  ctx.bell.ring(build.id);
  await carryOut(ctx, build);
  const [next] = await findQueued(db, { before: clock.now(), limit: 1 });
  if (next !== undefined) await ctx.bus.publishJob(BuildImage, { imageId: next.imageId, version: 0 });
}
