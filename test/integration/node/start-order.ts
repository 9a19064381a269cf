import { DEFAULT_RESOURCES, type StackLayer, type StartOrder } from "@banyan/contracts";
import { newId } from "@banyan/kernel";

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** What a new, small sandbox on this layer is started with. */
export const startOrderOn = (layer: StackLayer, changes: Partial<StartOrder> = {}): StartOrder => ({
  sandboxId: newId("sbx"),
  orgId: newId("org"),
  epoch: 1,
  fresh: true,
  layers: [layer],
  env: { PATH },
  workdir: "/",
  user: "root",
  hostname: "test",
  resources: { ...DEFAULT_RESOURCES, cpu: 0.5, memoryMb: 128, diskMb: 256 },
  network: { egress: "open", allow: [] },
  mounts: [],
  deadlineMs: 20_000,
  ...changes,
});
