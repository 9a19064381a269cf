import { ListRegistries } from "@banyan/contracts";
import { handle } from "../context.ts";
import { listRegistries as readRegistries } from "../store/list-registries.ts";

export const listRegistries = handle(ListRegistries, async ({ db }, { orgId }) => {
  const rows = await readRegistries(db, orgId);
  return { registries: rows.map(({ host, username, createdAt }) => ({ host, username, createdAt: createdAt.getTime() })) };
});
