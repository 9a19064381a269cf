import { ListVolumeUsers } from "@banyan/contracts";
import { handle } from "../context.ts";

export const listVolumeUsers = handle(ListVolumeUsers, (ctx, input) => ctx.store.listVolumeUsers(input));
