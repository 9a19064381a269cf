import { GetUsage } from "@banyan/contracts";
import { handle } from "../context.ts";

export const getUsage = handle(GetUsage, async (ctx, { orgId }) => ({ usage: ctx.ledger.usage(orgId) }));
