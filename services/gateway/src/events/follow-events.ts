import { fault, isFault } from "@banyan/contracts";
import type { AppError, Clock } from "@banyan/kernel";
import type { EventSink } from "../http/route.ts";

/** How long one call waits for the next event. */
const EVENT_WAIT_MS = 10_000;
/** While whoever keeps the events is away, as it is for a moment when it is started again. */
const AWAY_PAUSE_MS = 500;
/** After the last event there can be: asks for nothing but the end. */
const AFTER_ALL = 2 ** 31 - 1;

/** One event as it is told: its name, its data, and its number, from 1 without gaps. */
export interface Told {
  seq: number;
  event: string;
  data: unknown;
}

export interface EventsAsked {
  /** Only those with a higher number. */
  after: number;
  waitMs: number;
  signal: AbortSignal;
}

/** A page of the events of something that takes long; `ended`: no more will come after these. */
export type ReadEvents = (asked: EventsAsked) => Promise<{ events: Told[]; ended: boolean }>;

export interface Follow {
  /** Hears every event; null: only the end counts. */
  sink: EventSink | null;
  after?: number;
  waitMs: number;
  gone: AbortSignal;
}

/** Follows it to its end, or for `waitMs`, across restarts of its owner. Answers whether it ended. Throws where nobody waits any more. */
export async function followEvents(clock: Clock, read: ReadEvents, { sink, after, waitMs, gone }: Follow): Promise<boolean> {
  const endsMs = clock.monotonicMs() + waitMs;
  let last = sink === null ? AFTER_ALL : (after ?? 0);
  for (let leftMs = waitMs; leftMs > 0; leftMs = endsMs - clock.monotonicMs()) {
    try {
      const page = await read({ after: last, waitMs: Math.floor(Math.min(leftMs, EVENT_WAIT_MS)), signal: gone });
      for (const { seq, event, data } of sink === null ? [] : page.events) {
        await sink?.say(event, data, seq);
        last = seq;
      }
      if (page.ended) return true;
      if (page.events.length === 0) await sink?.alive();
    } catch (error) {
      if (gone.aborted) throw clientGone();
      if (!isFault(error, "bus.unavailable", "bus.timeout", "database.unavailable")) throw error;
      await clock.sleep(Math.min(leftMs, AWAY_PAUSE_MS));
      await sink?.alive();
    }
  }
  return false;
}

/** Its outcome is not known to anyone: the work goes on. */
export function clientGone(): AppError {
  return fault("request.timeout", {}, { message: "The client went away." });
}

/** The number in `Last-Event-ID`; null for what is none of an event. */
export function lastHeard(id: string | undefined): number | null {
  return id !== undefined && /^\d{1,9}$/.test(id) ? Number(id) : null;
}
