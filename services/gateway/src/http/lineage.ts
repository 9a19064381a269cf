import { ArchiveSandbox, api, GetLineage, PromoteSandbox } from "@banyan/contracts";
import { lineageView } from "../views/fork.ts";
import { sandboxView } from "../views/sandbox.ts";
import { route } from "./route.ts";
import { sandboxOf } from "./sandboxes.ts";

const promoteSandbox = route({
  method: "POST",
  path: "/v1/sandboxes/{id}/promote",
  operationId: "promoteSandbox",
  tag: "forks",
  summary: "Let the parent of this child go on from the child's files, under its own id and addresses",
  access: "member",
  body: api.PromoteBody,
  replies: { 200: { description: "It does.", schema: api.Promotion } },
  errors: PromoteSandbox.errors,
  deadlineMs: () => PromoteSandbox.deadlineMs,
  async handle(call, { bus, routes }) {
    const { parentId, childId, state, epoch } = await bus.call(PromoteSandbox, { ...sandboxOf(call), force: call.body.force });
    routes.forget(parentId);
    const body: api.Promotion = { parent_id: parentId, child_id: childId, state, epoch };
    return { status: 200, body };
  },
});

const getLineage = route({
  method: "GET",
  path: "/v1/sandboxes/{id}/lineage",
  operationId: "getLineage",
  tag: "forks",
  summary: "The whole tree of forks that a sandbox belongs to",
  access: "member",
  replies: { 200: { description: "From its root, by breadth.", schema: api.Lineage } },
  errors: GetLineage.errors,
  async handle(call, { bus }) {
    return { status: 200, body: lineageView(await bus.call(GetLineage, sandboxOf(call))) };
  },
});

const archiveSandbox = route({
  method: "POST",
  path: "/v1/sandboxes/{id}/archive",
  operationId: "archiveSandbox",
  tag: "sandboxes",
  summary: "Put a stopped sandbox's files away and give up its disk: it can be started on any node then",
  access: "member",
  replies: { 200: { description: "It is archived, by this or before.", schema: api.Sandbox } },
  errors: ArchiveSandbox.errors,
  deadlineMs: () => ArchiveSandbox.deadlineMs,
  async handle(call, { bus, routes }) {
    const ref = sandboxOf(call);
    const { sandbox } = await bus.call(ArchiveSandbox, ref);
    routes.forget(ref.id);
    return { status: 200, body: sandboxView(sandbox) };
  },
});

export const lineageRoutes = [promoteSandbox, getLineage, archiveSandbox];
