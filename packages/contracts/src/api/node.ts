import { z } from "zod";

const Amounts = z.object({ cpu: z.number(), memory_mb: z.number(), disk_mb: z.number(), sandboxes: z.int() });
export const Node = z.object({
  id: z.string(),
  state: z.enum(["joining", "ready", "leaving"]),
  reachable: z.boolean(),
  version: z.string(),
  labels: z.record(z.string(), z.string()),
  capacity: Amounts,
  used: Amounts,
  pool: z.object({ target: z.int(), free: z.int(), starting: z.int(), waiting: z.int() }),
  last_heartbeat_at: z.iso.datetime(),
});
export type Node = z.infer<typeof Node>;
export const NodeList = z.object({ nodes: z.array(Node) });
