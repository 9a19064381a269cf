import type { InputOf, RunFork } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { forkSpecOf } from "../../../services/scheduler/src/domain/fork.fixture.ts";

type Order = InputOf<typeof RunFork>;

/** A fork of an image as a load test asks for it: small children, and no quota in its way. */
export function forkOrder(orgId: string, spec: Partial<Order["spec"]> & { count: number }): Order {
  return {
    orgId,
    forkId: newId("frk"),
    source: { kind: "image", image: "default" },
    spec: forkSpecOf({
      deadlineS: 600,
      resources: { cpu: 0.05, memoryMb: 16, pids: 64, diskMb: 16 },
      network: { egress: "closed", allow: [] },
      lifetime: { idleTimeoutS: null, maxLifetimeS: null, onIdle: "delete", onExpiry: "delete" },
      ...spec,
    }),
    quota: { sandboxes: 1_000_000, cpu: 1_000_000, memoryMb: 1_000_000_000 },
  };
}
