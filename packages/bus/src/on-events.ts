import type { Event, InputOf } from "@banyan/contracts";
import type { JsMsg } from "@nats-io/jetstream";
import { type Consuming, consume, type Delivery } from "./deliveries.ts";
import type { Link } from "./link.ts";
import { decode } from "./wire.ts";

const EVENT_ACK_WAIT_MS = 30_000;
const EVENT_DELIVERIES_MAX = 20;

/** `id` is that of the noun the event is about, out of the subject. */
export type EventHandler<E extends Event> = (input: InputOf<E>, delivery: Delivery & { id: string }) => Promise<void>;

export interface OnEventsOptions {
  /** The name under which the server remembers how far this consumer has come; processes of the same name share the events. */
  durable: string;
  /** Default 1: in order. */
  concurrencyMax?: number;
}

/** At least once: an event whose handler failed comes again. */
export function onEvents<E extends Event>(link: Link, event: E, options: OnEventsOptions, handler: EventHandler<E>): Consuming {
  const shape = {
    stream: "events",
    durable: options.durable,
    filter: event.pattern,
    ackWaitMs: EVENT_ACK_WAIT_MS,
    deliveriesMax: EVENT_DELIVERIES_MAX,
    concurrencyMax: options.concurrencyMax ?? 1,
  } as const;
  const read = (msg: JsMsg): { input: InputOf<E>; id: string } => ({
    input: decode(event.input, msg, "request.invalid") as InputOf<E>,
    id: msg.subject.split(".")[2] ?? "",
  });
  return consume(link, shape, read, ({ input, id }, delivery) => handler(input, { ...delivery, id }));
}
