import { ListLayerUsers } from "@banyan/contracts";
import { handle } from "../context.ts";

export const listLayerUsers = handle(ListLayerUsers, (ctx, input) => ctx.store.listLayerUsers(input));
