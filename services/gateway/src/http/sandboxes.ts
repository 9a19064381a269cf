import {
  api,
  CreateSandbox,
  DeleteSandbox,
  fault,
  GetSandbox,
  LIMITS,
  ListSandboxes,
  type OutputOf,
  SANDBOX_STATES,
  SandboxId,
  StartSandbox,
  StopSandbox,
  UpdateSandbox,
} from "@banyan/contracts";
import { z } from "zod";
import { changesOf, sandboxView, specOf, timingView } from "../views/sandbox.ts";
import { type Call, type Reply, route } from "./route.ts";

/** What the gateway waits for beyond the time a slot may take. */
const RPC_MARGIN_MS = 5_000;
const PAGE_DEFAULT = 50;

/** What is no id at all is simply not found. */
function sandboxOf({ caller, params }: Pick<Call<unknown, unknown>, "caller" | "params">): { orgId: string; id: string } {
  const id = params.id ?? "";
  if (!SandboxId.safeParse(id).success) throw fault("sandbox.not_found", { id });
  return { orgId: caller.orgId, id };
}

function startedReply(status: 200 | 201, { sandbox, path, timing }: OutputOf<typeof CreateSandbox>): Reply {
  const body: api.StartedSandbox = { ...sandboxView(sandbox), path, timing: timingView(timing) };
  return { status, body, headers: { "server-timing": serverTiming(body.timing) } };
}

/** `queue_ms: 0.04` as `queue;dur=0.04`. */
function serverTiming(timing: api.StartedSandbox["timing"]): string {
  return Object.entries(timing)
    .map(([name, durationMs]) => `${name.replace(/_ms$/, "")};dur=${durationMs}`)
    .join(", ");
}

const createSandbox = route({
  method: "POST",
  path: "/v1/sandboxes",
  operationId: "createSandbox",
  tag: "sandboxes",
  summary: "Make a sandbox and start it",
  access: "member",
  makes: "sbx",
  body: api.CreateSandboxBody,
  replies: { 201: { description: "It runs.", schema: api.StartedSandbox } },
  errors: CreateSandbox.errors,
  deadlineMs: (body) => body.wait_ms + RPC_MARGIN_MS,
  async handle({ caller, body, resourceId }, { bus, routes }) {
    const order = { orgId: caller.orgId, id: resourceId, spec: specOf(body), quota: caller.quota, deadlineMs: body.wait_ms };
    const started = await bus.call(CreateSandbox, order, { deadlineMs: body.wait_ms + RPC_MARGIN_MS });
    routes.remember(started.route);
    return startedReply(201, started);
  },
});

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
    const labels = Object.fromEntries(query.label.map(splitLabel));
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

function splitLabel(label: string): [string, string] {
  const at = label.indexOf("=");
  return [label.slice(0, at), label.slice(at + 1)];
}

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
  errors: StartSandbox.errors,
  deadlineMs: (body) => body.wait_ms + RPC_MARGIN_MS,
  async handle(call, { bus, routes }) {
    const { wait_ms: waitMs } = call.body;
    const order = { ...sandboxOf(call), quota: call.caller.quota, deadlineMs: waitMs };
    const started = await bus.call(StartSandbox, order, { deadlineMs: waitMs + RPC_MARGIN_MS });
    routes.remember(started.route);
    return startedReply(200, started);
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

export const sandboxRoutes = [createSandbox, listSandboxes, getSandbox, updateSandbox, startSandbox, stopSandbox, deleteSandbox];
