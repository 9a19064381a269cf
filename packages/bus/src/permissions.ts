import { ForkChildrenFinished, NODES_BUCKET, NodeId, type Owner, RunFork, SandboxDied, SUBJECTS } from "@banyan/contracts";
import { assert } from "@banyan/kernel";
import { BLOBS_BUCKET } from "./blobs/index.ts";
import { inboxPrefixOf } from "./connect.ts";

/**
 * A service of the cluster, or one node, or whoever publishes forks straight on the bus. `nodeId: "*"` is one credential for all nodes: simpler,
 * and then a node may pass for another.
 */
export type BusRole = { kind: Owner } | { kind: "node"; nodeId: string } | { kind: "publisher" };

export interface BusUser {
  user: string;
  password: string;
  role: BusRole;
}

interface Grants {
  publish: string[];
  subscribe: string[];
}

/** JetStream as a service of our own uses it: its API, acknowledgements, flow control, buckets and blobs. */
const JETSTREAM = ["$JS.API.>", "$JS.ACK.>", "$JS.FC.>", "$KV.>", "$O.>"];
/** An answer may be given once, and as late as the longest deadline of a verb. */
const RESPONSES = '{ max: 1, expires: "15m" }';
const USER_NAME = /^[A-Za-z0-9_-]+$/;

/** The owner of one noun: it works off its own jobs with the nodes, asks whom it names, and says what became of them. */
function ownerOfNoun(owner: Owner, noun: string, asks: readonly Owner[] = []): Grants {
  const publish = [SUBJECTS.rpcOfAllNodes, ...asks.map(SUBJECTS.rpcOf), SUBJECTS.jobsOf(owner), SUBJECTS.eventsOf(noun), ...JETSTREAM];
  return { publish, subscribe: [SUBJECTS.rpcOf(owner)] };
}

/** Who may say and hear what. Nodes run other people's code next door, so theirs are the narrow ones. */
const GRANTS: Record<Owner, Grants> = {
  gateway: {
    publish: [
      SUBJECTS.rpcOf("scheduler"),
      SUBJECTS.rpcOf("image-builder"),
      SUBJECTS.rpcOf("volume-manager"),
      SUBJECTS.allJobs,
      ...JETSTREAM,
    ],
    subscribe: [SUBJECTS.rpcOf("gateway")],
  },
  scheduler: {
    publish: [
      SUBJECTS.rpcOfAllNodes,
      SUBJECTS.rpcOf("image-builder"),
      SUBJECTS.rpcOf("volume-manager"),
      SUBJECTS.allJobs,
      SUBJECTS.allEvents,
      ...JETSTREAM,
    ],
    subscribe: [SUBJECTS.rpcOf("scheduler")],
  },
  // Before they remove a layer, an image or a volume they ask who uses it.
  "image-builder": ownerOfNoun("image-builder", "image", ["scheduler"]),
  "volume-manager": ownerOfNoun("volume-manager", "volume", ["scheduler"]),
};

/**
 * A node answers its own verbs, writes its own heartbeat, says that a sandbox died and how the commands of a fork's children ended, reads blobs,
 * and puts the layers of snapshots. It calls nobody, and makes no stream or bucket: the image-builder and the scheduler do. NATS cannot tell a
 * layer's name from another blob's, so a node could spoil any of them; every reader of a layer or a context therefore checks the digest it is named by.
 */
function grantsOfNode(nodeId: string): Grants {
  assert(nodeId === "*" || NodeId.safeParse(nodeId).success, `not a node id: ${nodeId}`);
  const stream = `OBJ_${BLOBS_BUCKET}`;
  const readBlobs = [`$JS.API.STREAM.INFO.${stream}`, `$JS.API.DIRECT.GET.${stream}`, `$JS.API.DIRECT.GET.${stream}.>`];
  // A put that fails takes its pieces away again.
  const putBlobs = [
    "$JS.API.INFO",
    `$JS.API.STREAM.MSG.GET.${stream}`,
    `$O.${BLOBS_BUCKET}.C.*`,
    `$O.${BLOBS_BUCKET}.M.*`,
    `$JS.API.STREAM.PURGE.${stream}`,
  ];
  return {
    publish: [SandboxDied.pattern, ForkChildrenFinished.pattern, `$KV.${NODES_BUCKET}.${nodeId}`, ...readBlobs, ...putBlobs],
    subscribe: [SUBJECTS.rpcOfNode(nodeId)],
  };
}

/**
 * Publishes forks and hears what becomes of them, of any organisation's: an operator's credential. It has none of JetStream's API: who may make a
 * consumer names the subject it delivers to, and so could say anything to anyone.
 */
const PUBLISHER: Grants = { publish: [RunFork.subject], subscribe: [SUBJECTS.eventsOf("fork")] };

function grantsOf(role: BusRole): Grants {
  if (role.kind === "node") return grantsOfNode(role.nodeId);
  return role.kind === "publisher" ? PUBLISHER : GRANTS[role.kind];
}

/** The `authorization` block of nats-server's configuration. */
export function permissionsConfig(users: readonly BusUser[]): string {
  return `authorization {\n  users: [\n${users.map(userBlock).join("\n")}\n  ]\n}\n`;
}

function userBlock({ user, password, role }: BusUser): string {
  assert(USER_NAME.test(user), `a bus user's name holds letters, digits, - and _: ${user}`);
  const { publish, subscribe } = grantsOf(role);
  // Each hears the answers to its own requests only: connectBus puts the user's name into its inboxes.
  const heard = [...subscribe, `${inboxPrefixOf(user)}.>`];
  // An event carries the inbox in which its sender awaits the stream's acknowledgement: a mere listener must not answer there.
  const responses = role.kind === "publisher" ? [] : [`        allow_responses: ${RESPONSES}`];
  return [
    "    {",
    `      user: ${JSON.stringify(user)}, password: ${JSON.stringify(password)}`,
    "      permissions: {",
    `        publish: { allow: ${JSON.stringify(publish)} }`,
    `        subscribe: { allow: ${JSON.stringify(heard)} }`,
    ...responses,
    "      }",
    "    }",
  ].join("\n");
}
