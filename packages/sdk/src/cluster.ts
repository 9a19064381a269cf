import type { api } from "@banyan/contracts";
import type { Camel } from "./case.ts";
import type { Client } from "./client.ts";
import type { InputOf } from "./schema-types.ts";

export type Node = Camel<api.Node>;
export type DrainedNode = Camel<api.DrainedNode>;
export type RemovedNode = Camel<api.RemovedNode>;
export type NodeToken = Camel<api.NodeToken>;
export type CreatedNodeToken = Camel<api.CreatedNodeToken>;
export type CreateNodeTokenOptions = Camel<InputOf<typeof api.CreateNodeTokenBody>>;

/** The nodes, for keys with the role admin. */
export class Cluster {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  async nodes(): Promise<Node[]> {
    const { nodes } = await this.#client.json<{ nodes: api.Node[] }>("GET", "/v1/nodes");
    return nodes;
  }

  /** It takes no new sandboxes; those that are there stay. */
  cordon(nodeId: string): Promise<Node> {
    return this.#client.keyed<api.Node>("POST", `${pathOf(nodeId)}/cordon`, {});
  }

  /** It takes sandboxes again, and is no longer emptied. */
  uncordon(nodeId: string): Promise<Node> {
    return this.#client.keyed<api.Node>("POST", `${pathOf(nodeId)}/uncordon`, {});
  }

  /** Empties it. Goes on after the answer: ask again until nothing is `left`. */
  drain(nodeId: string, options: { mode?: "move" | "stop" } = {}): Promise<DrainedNode> {
    return this.#client.keyed<api.DrainedNode>("POST", `${pathOf(nodeId)}/drain`, { json: options });
  }

  /** Forgets it; with `force` also one that is gone for good with what it held. */
  remove(nodeId: string, options: { force?: boolean } = {}): Promise<RemovedNode> {
    return this.#client.keyed<api.RemovedNode>("DELETE", pathOf(nodeId), { query: { force: options.force === true ? "true" : undefined } });
  }

  /** With which machines join. It is in `token`, this once. */
  createNodeToken(options: CreateNodeTokenOptions = {}): Promise<CreatedNodeToken> {
    return this.#client.keyed<api.CreatedNodeToken>("POST", "/v1/nodes/tokens", { json: options });
  }

  /** The newest first, without their secrets; also those that are used up, and for a day those that have expired. */
  async nodeTokens(): Promise<NodeToken[]> {
    const { tokens } = await this.#client.json<{ tokens: api.NodeToken[] }>("GET", "/v1/nodes/tokens");
    return tokens;
  }

  /** No machine joins with it any more. Those that have joined stay, with what they were told. */
  revokeNodeToken(tokenId: string): Promise<void> {
    return this.#client.keyedNoReply("DELETE", `/v1/nodes/tokens/${encodeURIComponent(tokenId)}`);
  }
}

const pathOf = (nodeId: string): string => `/v1/nodes/${encodeURIComponent(nodeId)}`;
