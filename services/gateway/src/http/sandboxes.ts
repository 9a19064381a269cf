import {
  api,
  DeleteSandbox,
  fault,
  GetSandbox,
  LIMITS,
  ListSandboxes,
  SANDBOX_STATES,
  SandboxId,
  StartSandbox,
  StopSandbox,
  UpdateSandbox,
} from "@banyan/contracts";
import { z } from "zod";
import { changesOf, sandboxView } from "../views/sandbox.ts";
import { bringUp, needsBringUp } from "./bring-up.ts";
import { labelsOf } from "./labels.ts";
import { type Call, route } from "./route.ts";
import { RPC_MARGIN_MS, startedReply } from "./started.ts";

const PAGE_DEFAULT = 50;

/** What is no id at all is simply not found. */
export function sandboxOf({ caller, params }: Pick<Call<unknown, unknown>, "caller" | "params">): { orgId: string; id: string } {
  const id = params.id ?? "";
  if (!SandboxId.safeParse(id).success) throw fault("sandbox.not_found", { id });
  return { orgId: caller.orgId, id };
}

const ListSandboxesQuery = z.strictObject({
  label: z
    .array(z.string().regex(/^[^=]+=/, "must be key=value"))
    .max(LIMITS.labelsPerSandbox)
    .default([])
    .describe("key=value; repeated: all must match."),
  state: z.array(z.enum(SANDBOX_STATES)).max(SANDBOX_STATES.length).default([]).describe("Repeated: any of them."),
  cursor: SandboxId.optional().describe("`next_cursor` of the page before."),
  limit: z.coerce.number().int().min(1).max(LIMITS.pageSize).default(PAGE_DEFAULT),
});

const listSandboxes = route({
  method: "GET",
  path: "/v1/sandboxes",
  operationId: "listSandboxes",
  tag: "sandboxes",
  summary: "List your organisation's sandboxes, newest first",
  access: "member",
  query: ListSandboxesQuery,
  repeated: ["label", "state"],
  replies: { 200: { description: "A page of them.", schema: api.SandboxPage } },
  errors: ListSandboxes.errors,
  async handle({ caller, query }, { bus }) {
    const labels = labelsOf(query.label);
    const page = await bus.call(ListSandboxes, {
      orgId: caller.orgId,
      labels,
      states: query.state,
      cursor: query.cursor ?? null,
      limit: query.limit,
    });
    return { status: 200, body: { sandboxes: page.sandboxes.map(sandboxView), next_cursor: page.nextCursor } };
  },
});

const getSandbox = route({
  method: "GET",
  path: "/v1/sandboxes/{id}",
  operationId: "getSandbox",
  tag: "sandboxes",
  summary: "Look at a sandbox",
  access: "member",
  replies: { 200: { description: "As it is.", schema: api.Sandbox } },
  errors: GetSandbox.errors,
  async handle(call, { bus }) {
    const { sandbox } = await bus.call(GetSandbox, sandboxOf(call));
    return { status: 200, body: sandboxView(sandbox) };
  },
});

const updateSandbox = route({
  method: "PATCH",
  path: "/v1/sandboxes/{id}",
  operationId: "updateSandbox",
  tag: "sandboxes",
  summary: "Change labels and lifetime",
  access: "member",
  body: api.UpdateSandboxBody,
  replies: { 200: { description: "As it is now.", schema: api.Sandbox } },
  errors: UpdateSandbox.errors,
  async handle(call, { bus }) {
    const { sandbox } = await bus.call(UpdateSandbox, { ...sandboxOf(call), ...changesOf(call.body) });
    return { status: 200, body: sandboxView(sandbox) };
  },
});

const startSandbox = route({
  method: "POST",
  path: "/v1/sandboxes/{id}/start",
  operationId: "startSandbox",
  tag: "sandboxes",
  summary: "Start a stopped sandbox on the disk it had",
  access: "member",
  body: api.StartSandboxBody,
  replies: { 200: { description: "It runs.", schema: api.StartedSandbox } },
  errors: [...StartSandbox.errors, "sandbox.ready_failed"],
  deadlineMs: (body) => body.wait_ms + RPC_MARGIN_MS,
  async handle(call, gateway) {
    const { bus, routes } = gateway;
    const { wait_ms: waitMs } = call.body;
    const order = { ...sandboxOf(call), quota: call.caller.quota, deadlineMs: waitMs };
    const started = await bus.call(StartSandbox, order, { deadlineMs: waitMs + RPC_MARGIN_MS });
    routes.remember(started.route);
    const broughtUp = needsBringUp(started) ? await bringUp(gateway, started, call.gone()) : 0;
    return startedReply(200, started, broughtUp);
  },
});

const stopSandbox = route({
  method: "POST",
  path: "/v1/sandboxes/{id}/stop",
  operationId: "stopSandbox",
  tag: "sandboxes",
  summary: "End its processes and keep its disk",
  access: "member",
  body: api.StopSandboxBody,
  replies: { 200: { description: "It is stopped.", schema: api.Sandbox } },
  errors: StopSandbox.errors,
  deadlineMs: () => StopSandbox.deadlineMs,
  async handle(call, { bus, routes }) {
    const ref = sandboxOf(call);
    const { sandbox } = await bus.call(StopSandbox, { ...ref, graceMs: call.body.grace_ms });
    routes.forget(ref.id);
    return { status: 200, body: sandboxView(sandbox) };
  },
});

const deleteSandbox = route({
  method: "DELETE",
  path: "/v1/sandboxes/{id}",
  operationId: "deleteSandbox",
  tag: "sandboxes",
  summary: "End it and remove its disk, in whatever state it is",
  access: "member",
  replies: {
    202: {
      description: "Its node does not answer now; it is removed as soon as it does.",
      schema: z.object({ state: z.literal("deleting") }),
    },
    204: { description: "It is gone." },
  },
  errors: DeleteSandbox.errors,
  deadlineMs: () => DeleteSandbox.deadlineMs,
  async handle(call, { bus, routes }) {
    const ref = sandboxOf(call);
    const { state } = await bus.call(DeleteSandbox, ref);
    routes.forget(ref.id);
    return state === "deleted" ? { status: 204 } : { status: 202, body: { state } };
  },
});

export const sandboxRoutes = [listSandboxes, getSandbox, updateSandbox, startSandbox, stopSandbox, deleteSandbox];
