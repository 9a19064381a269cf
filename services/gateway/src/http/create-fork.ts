import { api, CreateFork, type ForkSource } from "@banyan/contracts";
import { preferredWaitS } from "../domain/prefer.ts";
import { lastHeard } from "../events/follow-events.ts";
import { FORK_FOLLOW_MS, followFork, lookAtFork, withWinner } from "../forks/follow-fork.ts";
import { forkSourceOf, forkSpecOf, hasEnded } from "../views/fork.ts";
import { PREFER_WAIT, STREAM_TYPE, WAIT_S_MAX } from "./build-image.ts";
import type { Gateway } from "./gateway.ts";
import { type Call, type Reply, type RouteDescription, route } from "./route.ts";
import { sandboxOf } from "./sandboxes.ts";

const RPC_MARGIN_MS = 5_000;

/** What both ways to ask for a fork have in common. */
const described = {
  tag: "forks",
  access: "member",
  headers: { Prefer: PREFER_WAIT, "Last-Event-ID": "Of a stream that was cut, sent again with its Idempotency-Key: goes on after it." },
  replies: {
    200: { description: "It has ended within the wait.", schema: api.Fork, type: STREAM_TYPE },
    202: { description: "It is written down and goes on: follow GET /v1/forks/{id}/events.", schema: api.Fork },
  },
  errors: CreateFork.errors,
} as const satisfies Partial<RouteDescription>;

const forkSandbox = route({
  ...described,
  method: "POST",
  path: "/v1/sandboxes/{id}/forks",
  operationId: "forkSandbox",
  summary: `Fork a running or stopped sandbox: 1 to 100,000 children that have its files. With \`Accept: ${STREAM_TYPE}\` its events, at last \`fork\``,
  body: api.ForkSandboxBody,
  makes: "frk",
  lastEvent,
  deadlineMs: () => CreateFork.deadlineMs + RPC_MARGIN_MS,
  handle: (call, gateway) => create(call, gateway, { kind: "sandbox", sandboxId: sandboxOf(call).id }),
  settle,
});

const createFork = route({
  ...described,
  method: "POST",
  path: "/v1/forks",
  operationId: "createFork",
  summary: `Fork an image, a snapshot or a sandbox. With \`Accept: ${STREAM_TYPE}\` its events, at last \`fork\``,
  body: api.CreateForkBody,
  makes: "frk",
  lastEvent,
  deadlineMs: () => CreateFork.deadlineMs + RPC_MARGIN_MS,
  handle: (call, gateway) => create(call, gateway, forkSourceOf(call.body.source)),
  settle,
});

function lastEvent({ status }: Reply): string {
  return status === 202 ? "pending" : "fork";
}

/** Written down by one call, which is what an Idempotency-Key covers; nothing of it waits for children. */
async function create(call: Call<unknown, api.ForkSandboxBody>, gateway: Gateway, source: ForkSource): Promise<Reply> {
  const { caller, body, resourceId: forkId } = call;
  const order = { orgId: caller.orgId, forkId, source, spec: forkSpecOf(body), quota: caller.quota };
  const { fork } = await gateway.bus.call(CreateFork, order, { retry: true });
  return replyOf(await withWinner(gateway, fork), call);
}

/** Waits for the end where that was asked for, of a fork that is there by now. */
async function settle(call: Call<unknown, unknown>, gateway: Gateway, reply: Reply): Promise<Reply> {
  const made = reply.body as api.Fork;
  const { sink, header } = call;
  const waitMs = sink === null ? (preferredWaitS(header("prefer"), WAIT_S_MAX) ?? 0) * 1_000 : FORK_FOLLOW_MS;
  if (waitMs === 0 || (hasEnded(made) && sink === null)) return replyOf(made, call);
  const ref = { orgId: call.caller.orgId, forkId: made.id };
  await followFork(gateway, ref, { sink, after: lastHeard(header("last-event-id")) ?? 0, waitMs, gone: call.gone() });
  return replyOf(await lookAtFork(gateway, ref), call);
}

function replyOf(fork: api.Fork, { header }: Pick<Call<unknown, unknown>, "header">): Reply {
  const waitedS = preferredWaitS(header("prefer"), WAIT_S_MAX);
  const headers = { location: `/v1/forks/${fork.id}`, ...(waitedS !== null && { "preference-applied": `wait=${waitedS}` }) };
  return { status: hasEnded(fork) ? 200 : 202, body: fork, headers };
}

export const createForkRoutes = [forkSandbox, createFork];
