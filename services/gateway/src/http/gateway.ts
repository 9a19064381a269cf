import type { Bus } from "@banyan/bus";
import type { Quota } from "@banyan/contracts";
import type { Database } from "@banyan/db";
import type { Clock, Logger } from "@banyan/kernel";
import type { AccessNotices } from "../auth/access-notices.ts";
import type { ObjectVolumes } from "../config.ts";
import type { AskInside } from "../forward/index.ts";
import type { Authenticator, JoinSettings, RouteMemory } from "../ports.ts";

/** What the routes work with. */
export interface Gateway {
  bus: Bus;
  db: Database;
  clock: Clock;
  logger: Logger;
  routes: RouteMemory;
  authenticator: Authenticator;
  access: Pick<AccessNotices, "changed">;
  /** The data planes of sandboxes, for what the gateway does in them of itself. */
  askInside: AskInside;
  defaultQuota: Quota;
  /** Who may make volumes of the backend `object`. */
  objectVolumes: ObjectVolumes;
  /** What a machine that joins as a node is told; null: none may join here. */
  join: JoinSettings | null;
}
