import { api, ListNodes } from "@banyan/contracts";
import { nodeView } from "../views/node.ts";
import { route } from "./route.ts";

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

export const nodeRoutes = [listNodes];
