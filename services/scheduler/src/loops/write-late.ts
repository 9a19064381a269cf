import { forEachAtMost } from "@banyan/service";
import type { Context } from "../context.ts";

const BATCH_MAX = 200;
const PARALLEL = 4;

/** Tries again what the database did not take. */
export async function writeLate(ctx: Context): Promise<void> {
  await forEachAtMost(ctx.late.failed().slice(0, BATCH_MAX), PARALLEL, (id) => ctx.late.settle(id));
}
