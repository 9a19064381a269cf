import { GetSandbox } from "@banyan/contracts";
import { handle } from "../context.ts";
import { recordOf } from "../domain/sandbox.ts";

export const getSandbox = handle(GetSandbox, async (ctx, ref) => ({ sandbox: recordOf(await ctx.sandboxes.find(ref)) }));
