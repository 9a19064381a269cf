import { PromoteSandbox } from "@banyan/contracts";
import { handle } from "../context.ts";
import { promote } from "../promote.ts";

/** Asked for again while it is under way, it is one. */
export const promoteSandbox = handle(PromoteSandbox, (ctx, input, request) => {
  const first = ctx.promotions.get(input.id);
  if (first !== undefined && first.orgId === input.orgId) return first.answer;
  const answer = promote(ctx, input, request.deadlineMs).finally(() => ctx.promotions.delete(input.id));
  ctx.promotions.set(input.id, { orgId: input.orgId, answer });
  return answer;
});
