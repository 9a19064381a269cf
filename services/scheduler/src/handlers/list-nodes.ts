import { ListNodes } from "@banyan/contracts";
import { handle } from "../context.ts";

export const listNodes = handle(ListNodes, async (ctx) => ({ nodes: ctx.nodes.views() }));
