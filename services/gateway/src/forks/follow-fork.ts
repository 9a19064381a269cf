import { type api, type Fork, GetFork, LIMITS, ListForkChildren, ReadForkEvents } from "@banyan/contracts";
import { type EventsAsked, type Follow, followEvents } from "../events/follow-events.ts";
import type { Gateway } from "../http/gateway.ts";
import { forkEventView, forkView } from "../views/fork.ts";

export interface ForkRef {
  orgId: string;
  forkId: string;
}

/** Beyond its deadline: what is unfinished then is still to be ended and deleted. */
const ENDING_MS = 15 * 60_000;
/** Longer than any fork lives. */
export const FORK_FOLLOW_MS = LIMITS.forkDeadlineSMax * 1_000 + ENDING_MS;

/** Follows a fork to its end, or for `waitMs`. Answers whether it ended. */
export function followFork({ bus, clock }: Gateway, ref: ForkRef, follow: Follow): Promise<boolean> {
  const read = async ({ signal, ...asked }: EventsAsked) => {
    const { events, ended } = await bus.call(ReadForkEvents, { ...ref, ...asked, limit: LIMITS.forkEventsPage }, { signal });
    return { events: events.map((event) => ({ seq: event.seq, event: event.event.kind, data: forkEventView(event) })), ended };
  };
  return followEvents(clock, read, follow);
}

/** As it is, with the sandbox of its winner. */
export async function lookAtFork(gateway: Gateway, ref: ForkRef): Promise<api.Fork> {
  const { fork } = await gateway.bus.call(GetFork, ref, { retry: true });
  return withWinner(gateway, fork);
}

export async function withWinner({ bus }: Gateway, fork: Fork): Promise<api.Fork> {
  if (fork.winner === null) return forkView(fork);
  const page = await bus.call(
    ListForkChildren,
    { orgId: fork.orgId, forkId: fork.id, after: fork.winner - 1, limit: 1, states: [] },
    { retry: true },
  );
  return forkView(fork, page.children[0]);
}
