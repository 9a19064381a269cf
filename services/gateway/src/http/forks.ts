import { api, CancelFork, ForkId, fault, GetFork, LIMITS, ListForkChildren, ListForks, ReadForkEvents, SandboxId } from "@banyan/contracts";
import { z } from "zod";
import { lastHeard } from "../events/follow-events.ts";
import { FORK_FOLLOW_MS, type ForkRef, followFork, lookAtFork, withWinner } from "../forks/follow-fork.ts";
import { forkChildView, forkEventView, forkView } from "../views/fork.ts";
import { STREAM_TYPE } from "./build-image.ts";
import type { Gateway } from "./gateway.ts";
import { type Call, type EventSink, type Reply, route } from "./route.ts";

const PAGE_DEFAULT = 50;

/** What is no id at all is simply not found. */
function forkOf({ caller, params }: Pick<Call<unknown, unknown>, "caller" | "params">): ForkRef {
  const id = params.id ?? "";
  if (!ForkId.safeParse(id).success) throw fault("fork.not_found", { id });
  return { orgId: caller.orgId, forkId: id };
}

const ListForksQuery = z.strictObject({
  sandbox: SandboxId.optional().describe("Only those of this sandbox."),
  cursor: ForkId.optional().describe("`next_cursor` of the page before."),
  limit: z.coerce.number().int().min(1).max(LIMITS.pageSize).default(PAGE_DEFAULT),
});

const listForks = route({
  method: "GET",
  path: "/v1/forks",
  operationId: "listForks",
  tag: "forks",
  summary: "List your organisation's forks, newest first",
  access: "member",
  query: ListForksQuery,
  replies: { 200: { description: "A page of them.", schema: api.ForkPage } },
  errors: ListForks.errors,
  async handle({ caller, query }, { bus }) {
    const { sandbox: sandboxId = null, cursor = null, limit } = query;
    const page = await bus.call(ListForks, { orgId: caller.orgId, sandboxId, cursor, limit });
    return { status: 200, body: { forks: page.forks.map((fork) => forkView(fork)), next_cursor: page.nextCursor } };
  },
});

const getFork = route({
  method: "GET",
  path: "/v1/forks/{id}",
  operationId: "getFork",
  tag: "forks",
  summary: "Look at a fork",
  access: "member",
  replies: { 200: { description: "As it is.", schema: api.Fork } },
  errors: GetFork.errors,
  async handle(call, gateway) {
    return { status: 200, body: await lookAtFork(gateway, forkOf(call)) };
  },
});

const listForkChildren = route({
  method: "GET",
  path: "/v1/forks/{id}/children",
  operationId: "listForkChildren",
  tag: "forks",
  summary: "List the children of a fork by index, those that wait too: how each ended, what it printed, how much it changed",
  access: "member",
  query: api.ForkChildrenQuery,
  repeated: ["state"],
  replies: { 200: { description: "A page of them, shorter where they say much.", schema: api.ForkChildPage } },
  errors: ListForkChildren.errors,
  async handle(call, { bus }) {
    const { state: states, after, limit } = call.query;
    const page = await bus.call(ListForkChildren, { ...forkOf(call), after, limit, states });
    return { status: 200, body: { children: page.children.map(forkChildView), next_after: page.nextAfter } };
  },
});

const cancelFork = route({
  method: "POST",
  path: "/v1/forks/{id}/cancel",
  operationId: "cancelFork",
  tag: "forks",
  summary: "End a fork: what is unfinished is cancelled and deleted, with `delete_children` the rest too",
  access: "member",
  body: api.CancelForkBody,
  replies: { 200: { description: "It ends, or had ended before.", schema: api.Fork } },
  errors: CancelFork.errors,
  deadlineMs: () => CancelFork.deadlineMs,
  async handle(call, gateway) {
    const { fork } = await gateway.bus.call(CancelFork, { ...forkOf(call), deleteChildren: call.body.delete_children });
    return { status: 200, body: await withWinner(gateway, fork) };
  },
});

const readForkEvents = route({
  method: "GET",
  path: "/v1/forks/{id}/events",
  operationId: "readForkEvents",
  tag: "forks",
  summary: "Follow a fork to its end, or read what happened in it: events `state`, `children`. With `Accept: application/json` one page",
  access: "member",
  query: api.ForkEventsQuery,
  headers: { "Last-Event-ID": "The number of the last event that was heard: goes on after it." },
  replies: { 200: { description: "A stream of them; or a page.", schema: api.ForkEventPage, type: STREAM_TYPE } },
  errors: ReadForkEvents.errors,
  async handle(call, gateway) {
    const ref = forkOf(call);
    if ((call.header("accept") ?? "").includes("application/json")) return eventPage(ref, call.query, gateway);
    // A fork that is not there is an answer, not an event.
    await gateway.bus.call(GetFork, ref);
    const after = lastHeard(call.header("last-event-id")) ?? call.query.after;
    return { status: 200, events: (sink: EventSink) => followToEnd(gateway, ref, after, sink) };
  },
});

async function eventPage(ref: ForkRef, query: z.output<typeof api.ForkEventsQuery>, { bus }: Gateway): Promise<Reply> {
  const { after, limit, wait_ms: waitMs } = query;
  const page = await bus.call(ReadForkEvents, { ...ref, after, limit, waitMs });
  const body: z.output<typeof api.ForkEventPage> = {
    events: page.events.map(forkEventView),
    ended: page.ended,
    next_after: page.events.at(-1)?.seq ?? after,
  };
  return { status: 200, body };
}

async function followToEnd(gateway: Gateway, ref: ForkRef, after: number, sink: EventSink): Promise<void> {
  await followFork(gateway, ref, { sink, after, waitMs: FORK_FOLLOW_MS, gone: sink.gone });
}

export const forkRoutes = [listForks, getFork, listForkChildren, cancelFork, readForkEvents];
