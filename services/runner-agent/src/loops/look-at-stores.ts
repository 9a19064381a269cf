import type { NodeParts } from "../sandboxes/parts.ts";

/** Whether the store of volumes is still there; said once when that has changed. */
export async function lookAtStores({ stores, logger }: Pick<NodeParts, "stores" | "logger">): Promise<void> {
  const changed = await stores.look();
  if (changed?.state === "ok") logger.info({ stores: stores.said() }, "the store of volumes is reached");
  else if (changed !== null) logger.warn({ reason: changed.reason }, "the store of volumes is lost");
}
