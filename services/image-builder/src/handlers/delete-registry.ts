import { DeleteRegistry, fault } from "@banyan/contracts";
import { handle } from "../context.ts";
import { deleteRegistry as removeRegistry } from "../store/delete-registry.ts";

export const deleteRegistry = handle(DeleteRegistry, async ({ db, bases }, { orgId, host }) => {
  if (!(await removeRegistry(db, orgId, host))) throw fault("registry.not_found", { host });
  bases.forgetPins(orgId);
  return {};
});
