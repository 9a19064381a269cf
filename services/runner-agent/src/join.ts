import { hash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { api, fault, fromWireError } from "@banyan/contracts";
import { z } from "zod";
import type { JoinConfig } from "./config.ts";

const ASK_TIMEOUT_MS = 15_000;
const FILE = "cluster.json";

/** What is kept of a joining: the answer, and by which token it came. */
const Kept = z.object({ tokenHash: z.string(), joined: api.JoinedNode });

/**
 * The environment with what the cluster has told this machine, where it is to join one; as it is where it names its cluster itself. A token is
 * used once: what it brought is kept in the data directory, readable by its owner alone, until another token is given.
 */
export async function joinedEnvironment(config: JoinConfig): Promise<NodeJS.ProcessEnv> {
  const { environment } = config;
  if (config.isKnown) return environment;
  const file = join(config.dataDir, FILE);
  const kept = readKept(file);
  const tokenHash = config.token === null ? null : hash("sha256", config.token, "hex");
  if (kept !== null && (tokenHash === null || tokenHash === kept.tokenHash)) return withJoined(environment, kept.joined);
  if (config.token === null || config.gatewayUrl === null || tokenHash === null) {
    throw fault(
      "request.invalid",
      {},
      {
        message: "This node belongs to no cluster yet: set BANYAN_JOIN_TOKEN and BANYAN_GATEWAY_URL, or BANYAN_CLUSTER_TOKEN and NATS_URL.",
      },
    );
  }
  const joined = await ask(config.gatewayUrl, { token: config.token, node_id: config.nodeId ?? undefined });
  keep(file, config.dataDir, { tokenHash, joined });
  return withJoined(environment, joined);
}

async function ask(gatewayUrl: string, body: z.input<typeof api.JoinNodeBody>): Promise<api.JoinedNode> {
  const url = `${gatewayUrl.replace(/\/+$/, "")}/v1/nodes/join`;
  const reply = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(ASK_TIMEOUT_MS),
  }).catch((cause) => {
    throw fault("bus.unavailable", { gatewayUrl }, { message: `The gateway at ${gatewayUrl} does not answer.`, cause });
  });
  const said: unknown = await reply.json().catch(() => null);
  const joined = api.JoinedNode.safeParse(said);
  if (reply.ok && joined.success) return joined.data;
  const problem = z.object({ code: z.string(), detail: z.string() }).safeParse(said);
  if (problem.success) throw fromWireError({ code: problem.data.code, message: problem.data.detail });
  throw fault("internal", { gatewayUrl, status: reply.status }, { message: `What answers at ${gatewayUrl} is no gateway.` });
}

function readKept(file: string): z.infer<typeof Kept> | null {
  try {
    return Kept.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw fault("internal", { file }, { message: `${file} cannot be read: remove it and join again with a new token.`, cause: error });
  }
}

/** Whole or not at all: the token has been used by now. */
function keep(file: string, dataDir: string, kept: z.infer<typeof Kept>): void {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  writeFileSync(`${file}.new`, JSON.stringify(kept), { mode: 0o600, flush: true });
  renameSync(`${file}.new`, file);
}

/** What is set here by hand goes before what the cluster says, but for who the node is. */
function withJoined(
  environment: NodeJS.ProcessEnv,
  { node_id: nodeId, nats_url: natsUrl, cluster_token: token, blobs }: api.JoinedNode,
): NodeJS.ProcessEnv {
  const ofBlobs = blobs && {
    BANYAN_BLOBS: `s3://${blobs.bucket}/${blobs.prefix}`,
    BANYAN_BLOBS_ENDPOINT: blobs.endpoint,
    BANYAN_BLOBS_REGION: blobs.region,
    BANYAN_BLOBS_ACCESS_KEY_ID: blobs.access_key_id,
    BANYAN_BLOBS_SECRET_ACCESS_KEY: blobs.secret_access_key,
  };
  return {
    NATS_URL: natsUrl,
    ...ofBlobs,
    ...environment,
    BANYAN_CLUSTER_TOKEN: token,
    ...(nodeId !== null && { BANYAN_NODE_ID: nodeId }),
  };
}
