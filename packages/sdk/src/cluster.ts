import type { api } from "@banyan/contracts";
import type { Camel } from "./case.ts";
import type { Client } from "./client.ts";
import type { InputOf } from "./schema-types.ts";

export type Node = Camel<api.Node>;
export type DrainedNode = Camel<api.DrainedNode>;
export type RemovedNode = Camel<api.RemovedNode>;
export type NodeToken = Camel<api.NodeToken>;
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
  createNodeToken(options: CreateNodeTokenOptions = {}): Promise<NodeToken> {
    return this.#client.keyed<api.NodeToken>("POST", "/v1/nodes/tokens", { json: options });
  }
}

const pathOf = (nodeId: string): string => `/v1/nodes/${encodeURIComponent(nodeId)}`;
