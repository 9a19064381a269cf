import { ListSandboxes } from "@banyan/contracts";
import { handle } from "../context.ts";
import { recordOf } from "../domain/sandbox.ts";

export const listSandboxes = handle(ListSandboxes, async (ctx, page) => {
  await ctx.late.settleOrg(page.orgId);
  const rows = await ctx.store.listSandboxes(page);
  const sandboxes = rows.slice(0, page.limit).map((row) => {
    const activeAt = ctx.ledger.get(row.id)?.lastActiveAt ?? 0;
    return recordOf({ ...row, lastActiveAt: Math.max(row.lastActiveAt, activeAt) });
  });
  return { sandboxes, nextCursor: rows.length > page.limit ? (sandboxes.at(-1)?.id ?? null) : null };
});
