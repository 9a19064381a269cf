import { fault, GetLineage, LIMITS } from "@banyan/contracts";
import { type Context, handle } from "../context.ts";
import type { Kin } from "../store/read-lineage.ts";

export const getLineage = handle(GetLineage, async (ctx, { orgId, id }) => {
  await ctx.late.settleOrg(orgId);
  const rootId = await ctx.store.findRoot(orgId, id);
  const root = rootId === null ? null : await ctx.store.readKin(orgId, rootId);
  if (root === null) throw fault("sandbox.not_found", { id });
  const { kin, truncated } = await descend(ctx, orgId, root);
  const ids = kin.map(({ sandboxId }) => sandboxId);
  const forkIds = [...new Set(kin.flatMap(({ forkId }) => (forkId === null ? [] : [forkId])))];
  const [promotions, forks] = await Promise.all([
    ctx.store.listPromotions(ids),
    ctx.store.listForksOf(orgId, { parentIds: ids, forkIds }, LIMITS.lineageMax),
  ]);
  const sandboxes = kin.map((one) => ({
    ...one,
    promotions: promotions.filter(({ parentId }) => parentId === one.sandboxId).map(({ childId, at, forced }) => ({ childId, at, forced })),
  }));
  return { rootId: root.sandboxId, sandboxes, forks, truncated };
});

/** Level by level, as many as one answer holds. */
async function descend(ctx: Context, orgId: string, root: Kin): Promise<{ kin: Kin[]; truncated: boolean }> {
  const kin = [root];
  let level = [root.sandboxId];
  while (level.length > 0) {
    const room = LIMITS.lineageMax - kin.length;
    const children = await ctx.store.listChildren(orgId, level, room + 1);
    if (children.length > room) return { kin: [...kin, ...children.slice(0, room)], truncated: true };
    kin.push(...children);
    level = children.map(({ sandboxId }) => sandboxId);
  }
  return { kin, truncated: false };
}
