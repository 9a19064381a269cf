import { messageOf } from "@banyan/kernel";
import type { ConsumerMessages, JsMsg } from "@nats-io/jetstream";
import type { Link } from "./link.ts";
import { oncePerConnection } from "./once-per-connection.ts";
import { type DurableShape, ensureConsumer, type StreamName } from "./streams.ts";
import { withReceiveSpan } from "./trace.ts";

const PULL_EXPIRES_MS = 30_000;
const REOPEN_DELAY_MS = 500;
const NAK_BASE_MS = 500;
const NAK_MAX_MS = 60_000;
const DRAIN_MS = 10_000;

export interface Delivery {
  /** 1 the first time. */
  attempt: number;
  /** Says that the work goes on: the time until the next delivery starts anew. */
  working(): void;
}

export interface DeliveriesShape extends DurableShape {
  stream: StreamName;
  concurrencyMax: number;
  deliveriesMax: number;
}

export interface Consuming {
  /** Takes no more and waits, bounded, for what is under way. */
  stop(): Promise<void>;
}

/**
 * Reads a durable pull consumer with `concurrencyMax` lanes. A lane asks for one message and handles it before it asks for the next, so
 * that no message waits here while its acknowledgement time runs.
 */
export function consume<T>(
  link: Link,
  shape: DeliveriesShape,
  /** Throws where the message does not fit its schema. */
  read: (msg: JsMsg) => T,
  handle: (content: T, delivery: Delivery) => Promise<void>,
): Consuming {
  const stopped = new AbortController();
  const pulls = new Set<ConsumerMessages>();
  const dropPulls = (): void => {
    for (const pull of pulls) pull.stop();
  };
  // The server may come back without its store: look at stream and consumer again, and do not wait for pulls it has forgotten.
  const consumer = oncePerConnection(link, () => ensureConsumer(link, shape.stream, shape));
  const unsubscribe = link.onStatus((status) => {
    if (status === "disconnected") return;
    dropPulls();
  });

  /** One pull: waits for a message, handles it. False: it ended early without one. */
  const pullOne = async (): Promise<boolean> => {
    link.assertConnected();
    const endsEarlyBefore = link.clock.monotonicMs() + PULL_EXPIRES_MS / 2;
    const pull = await (await consumer.get()).fetch({ max_messages: 1, expires: PULL_EXPIRES_MS });
    pulls.add(pull);
    if (stopped.signal.aborted) pull.stop();
    let handled = 0;
    for await (const msg of pull) {
      handled++;
      await settle(link, shape, msg, read, handle);
    }
    pulls.delete(pull);
    return handled > 0 || link.clock.monotonicMs() >= endsEarlyBefore;
  };
  const lane = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      try {
        if (await pullOne()) continue;
      } catch (error) {
        if (link.connected)
          link.logger.warn({ durable: shape.durable, reason: messageOf(error) }, "cannot read the consumer; trying again");
      }
      // Somebody may have removed the consumer: look at it again, at a pace.
      consumer.forget();
      await link.clock.sleep(REOPEN_DELAY_MS, stopped.signal).catch(() => {});
    }
  };
  const lanes = Promise.all(Array.from({ length: shape.concurrencyMax }, lane));
  return {
    async stop() {
      stopped.abort();
      unsubscribe();
      dropPulls();
      const ended = new AbortController();
      await Promise.race([lanes, link.clock.sleep(DRAIN_MS, ended.signal).catch(() => {})]);
      ended.abort();
    },
  };
}

/** Acknowledges after the handler; a failure comes again after a growing delay, until the bound. What cannot be read never comes again. */
async function settle<T>(
  link: Link,
  shape: DeliveriesShape,
  msg: JsMsg,
  read: (msg: JsMsg) => T,
  handle: (content: T, delivery: Delivery) => Promise<void>,
): Promise<void> {
  const attempt = msg.info.deliveryCount;
  const about = { subject: msg.subject, attempt, seq: msg.seq };
  if (attempt > shape.deliveriesMax) {
    link.logger.error(about, "gave up: delivered too often without an end");
    return msg.term("delivered too often");
  }
  let content: T;
  try {
    content = read(msg);
  } catch (error) {
    link.logger.error({ ...about, err: error }, "gave up: it does not fit its schema");
    return msg.term("malformed");
  }
  try {
    await withReceiveSpan(`consume ${shape.filter}`, msg.headers, () => handle(content, { attempt, working: () => msg.working() }));
    msg.ack();
  } catch (error) {
    if (attempt >= shape.deliveriesMax) {
      link.logger.error({ ...about, err: error }, "gave up: the last attempt failed");
      return msg.term(messageOf(error));
    }
    link.logger.warn({ ...about, err: error }, "failed; it will be delivered again");
    msg.nak(nakDelayMs(attempt));
  }
}

export const nakDelayMs = (attempt: number): number => Math.min(NAK_MAX_MS, NAK_BASE_MS * 2 ** (attempt - 1));
