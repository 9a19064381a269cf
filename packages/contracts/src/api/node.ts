import { z } from "zod";
import { NodeId, SandboxId } from "../sandbox.ts";

const Amounts = z.object({ cpu: z.number(), memory_mb: z.number(), disk_mb: z.number(), sandboxes: z.int() });
export const Node = z.object({
  id: z.string(),
  state: z.enum(["joining", "ready", "leaving"]),
  reachable: z.boolean(),
  cordoned: z.boolean().describe("It takes no new sandboxes, by its operator's wish."),
  draining: z.enum(["move", "stop"]).nullable().describe("How it is being emptied; null: it is not."),
  version: z.string(),
  labels: z.record(z.string(), z.string()),
  capacity: Amounts,
  used: Amounts,
  pool: z.object({ target: z.int(), free: z.int(), starting: z.int(), waiting: z.int() }),
  stores: z
    .array(
      z.object({
        store: z.string().describe("As in the `store` of a volume."),
        kind: z.enum(["directory", "object"]),
        state: z.enum(["ok", "lost"]),
        reason: z.string().nullable(),
      }),
    )
    .describe("The places of volumes that it knows: what lies there is mounted on it only while the state is ok."),
  last_heartbeat_at: z.iso.datetime(),
});
export type Node = z.infer<typeof Node>;
export const NodeList = z.object({ nodes: z.array(Node) });

export const DrainNodeBody = z.strictObject({
  mode: z
    .enum(["move", "stop"])
    .default("move")
    .describe(
      "move: what runs goes on on other nodes, with its files and without its processes; stop: it stays stopped, startable on any node.",
    ),
});
export const DrainedNode = z.object({
  node: Node,
  left: z.int().describe("Sandboxes that are still there. Ask again to see how far it has come."),
  failed: z
    .array(z.object({ sandbox_id: SandboxId, reason: z.string() }))
    .describe("Those that did not leave or go on yet; they are tried again."),
});
export type DrainedNode = z.infer<typeof DrainedNode>;

export const RemovedNode = z.object({ lost: z.int().describe("Sandboxes that are failed now, their files gone with the node.") });
export type RemovedNode = z.infer<typeof RemovedNode>;

const JOIN_TTL_S_MAX = 7 * 24 * 3_600;
const JOIN_USES_MAX = 1_000;
export const CreateNodeTokenBody = z.strictObject({
  ttl_s: z.int().min(1).max(JOIN_TTL_S_MAX).default(3_600).describe("How long it is good for."),
  uses: z.int().min(1).max(JOIN_USES_MAX).default(1).describe("How many nodes may join with it."),
  node_id: NodeId.optional().describe("The only node that may: it gets this id."),
  name: z.string().min(1).max(63).optional().describe("What you tell it apart by."),
});
/** A token that machines join with, without its secret. */
export const NodeToken = z.object({
  id: z.string(),
  name: z.string().nullable(),
  node_id: z.string().nullable().describe("The only node that may join with it; null: any."),
  uses: z.int().describe("How many nodes could join with it at first."),
  uses_left: z.int(),
  created_at: z.iso.datetime(),
  expires_at: z.iso.datetime(),
});
export type NodeToken = z.infer<typeof NodeToken>;
export const NodeTokenList = z.object({ tokens: z.array(NodeToken) });
export const CreatedNodeToken = NodeToken.extend({ token: z.string().describe("Shown this once.") });
export type CreatedNodeToken = z.infer<typeof CreatedNodeToken>;

export const JOIN_TOKEN_PREFIX = "bnj_";
export const JoinNodeBody = z.strictObject({
  token: z.string().min(1).max(256),
  node_id: NodeId.optional().describe("The id this node has already, if it has one."),
});
/** What a node needs to be one of the cluster. All of it is secret. */
export const JoinedNode = z.object({
  node_id: NodeId.nullable().describe("Null: it may choose."),
  nats_url: z.string().describe("With its credentials."),
  cluster_token: z.string(),
  blobs: z
    .object({
      endpoint: z.string(),
      region: z.string(),
      bucket: z.string(),
      prefix: z.string(),
      access_key_id: z.string(),
      secret_access_key: z.string(),
    })
    .nullable()
    .describe("Null: blobs are kept in NATS."),
});
export type JoinedNode = z.infer<typeof JoinedNode>;
