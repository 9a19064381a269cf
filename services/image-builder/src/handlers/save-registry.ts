import { SaveRegistry } from "@banyan/contracts";
import { seal } from "@banyan/kernel";
import { handle } from "../context.ts";
import { registryContext } from "../domain/seal-context.ts";
import { saveRegistry as writeRegistry } from "../store/save-registry.ts";

export const saveRegistry = handle(SaveRegistry, async ({ db, clock, bases, secretKey }, { orgId, host, username, password }) => {
  const passwordSealed = seal(password, secretKey, registryContext(orgId, host));
  const saved = await writeRegistry(db, { orgId, host, username, passwordSealed, createdAt: new Date(clock.now()) });
  bases.forgetPins(orgId);
  return { registry: { host, username: saved.username, createdAt: saved.createdAt.getTime() } };
});
