import { api, CordonNode, DrainNode, fault, ListNodes, NodeId, RemoveNode } from "@banyan/contracts";
import { z } from "zod";
import { drainView, nodeView } from "../views/node.ts";
import type { Gateway } from "./gateway.ts";
import { type Reply, route } from "./route.ts";

/** What is no id at all is simply not found. */
function nodeIdOf({ id = "" }: Record<string, string>): string {
  if (!NodeId.safeParse(id).success) throw fault("node.not_found", { id });
  return id;
}

const listNodes = route({
  method: "GET",
  path: "/v1/nodes",
  operationId: "listNodes",
  tag: "nodes",
  summary: "List the nodes of this cluster",
  access: "admin",
  replies: { 200: { description: "All of them.", schema: api.NodeList } },
  errors: ListNodes.errors,
  async handle(_call, { bus }) {
    const { nodes } = await bus.call(ListNodes, {});
    return { status: 200, body: { nodes: nodes.map(nodeView) } };
  },
});

async function cordon(params: Record<string, string>, { bus }: Gateway, cordoned: boolean): Promise<Reply> {
  const { node } = await bus.call(CordonNode, { nodeId: nodeIdOf(params), cordoned });
  return { status: 200, body: nodeView(node) };
}

const cordonNode = route({
  method: "POST",
  path: "/v1/nodes/{id}/cordon",
  operationId: "cordonNode",
  tag: "nodes",
  summary: "Put no new sandboxes on a node; those that are there stay",
  access: "admin",
  harmless: true,
  replies: { 200: { description: "The node.", schema: api.Node } },
  errors: CordonNode.errors,
  handle: ({ params }, gateway) => cordon(params, gateway, true),
});

const uncordonNode = route({
  method: "POST",
  path: "/v1/nodes/{id}/uncordon",
  operationId: "uncordonNode",
  tag: "nodes",
  summary: "Put new sandboxes on a node again; ends its draining, too",
  access: "admin",
  harmless: true,
  replies: { 200: { description: "The node.", schema: api.Node } },
  errors: CordonNode.errors,
  handle: ({ params }, gateway) => cordon(params, gateway, false),
});

const drainNode = route({
  method: "POST",
  path: "/v1/nodes/{id}/drain",
  operationId: "drainNode",
  tag: "nodes",
  summary: "Cordon a node and empty it; goes on after the reply, and a repeat tells how far it has come",
  access: "admin",
  harmless: true,
  body: api.DrainNodeBody,
  replies: { 200: { description: "How far it has come.", schema: api.DrainedNode } },
  errors: DrainNode.errors,
  async handle({ params, body }, { bus }) {
    const drained = await bus.call(DrainNode, { nodeId: nodeIdOf(params), mode: body.mode });
    return { status: 200, body: drainView(drained) };
  },
});

const RemoveNodeQuery = z.strictObject({
  force: z.stringbool().default(false).describe("Also one that is gone for good with what it held: its sandboxes become failed."),
});

const removeNode = route({
  method: "DELETE",
  path: "/v1/nodes/{id}",
  operationId: "removeNode",
  tag: "nodes",
  summary: "Forget a node that holds nothing any more",
  access: "admin",
  harmless: true,
  query: RemoveNodeQuery,
  replies: { 200: { description: "It is forgotten.", schema: api.RemovedNode } },
  errors: RemoveNode.errors,
  async handle({ params, query }, { bus }) {
    const { lost } = await bus.call(RemoveNode, { nodeId: nodeIdOf(params), force: query.force });
    return { status: 200, body: { lost } };
  },
});

export const nodeRoutes = [listNodes, cordonNode, uncordonNode, drainNode, removeNode];
