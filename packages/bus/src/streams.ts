import { EVENTS_STREAM, JOBS_STREAM } from "@banyan/contracts";
import { AckPolicy, type Consumer, DeliverPolicy, DiscardPolicy, RetentionPolicy, type StreamConfig } from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import type { Link } from "./link.ts";
import { isConsumerMissing, isStreamMissing } from "./missing.ts";

const DAY_MS = 24 * 3600 * 1000;
/** The server sets this much of its disk aside for each stream, and refuses a stream it has no room for. */
const STREAM_MAX_BYTES = 256 * 1024 ** 2;
/** A publisher that is not sure repeats with the same id within this time. */
const DEDUPE_WINDOW_MS = 10 * 60 * 1000;

type StreamShape = Partial<StreamConfig> & { name: string };

/** A full queue refuses (the publisher learns of it); a full log forgets its oldest. */
const SHAPES: Record<"jobs" | "events", StreamShape> = {
  jobs: {
    name: JOBS_STREAM.name,
    subjects: [...JOBS_STREAM.subjects],
    retention: RetentionPolicy.Workqueue,
    discard: DiscardPolicy.New,
    max_bytes: STREAM_MAX_BYTES,
    duplicate_window: nanos(DEDUPE_WINDOW_MS),
  },
  events: {
    name: EVENTS_STREAM.name,
    subjects: [...EVENTS_STREAM.subjects],
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.Old,
    max_bytes: STREAM_MAX_BYTES,
    max_age: nanos(7 * DAY_MS),
    duplicate_window: nanos(DEDUPE_WINDOW_MS),
  },
};
export type StreamName = keyof typeof SHAPES;

/** Makes the stream where it is missing: at first use, and again after the server lost its store. */
export async function ensureStream(link: Link, name: StreamName): Promise<void> {
  const shape = SHAPES[name];
  const { streams } = await link.manager();
  try {
    await streams.info(shape.name);
  } catch (error) {
    if (!isStreamMissing(error)) throw error;
    await streams.add(shape);
    link.logger.info({ stream: shape.name }, "made the stream");
  }
}

export interface DurableShape {
  durable: string;
  filter: string;
  ackWaitMs: number;
}

export async function ensureConsumer(link: Link, name: StreamName, shape: DurableShape): Promise<Consumer> {
  await ensureStream(link, name);
  const stream = SHAPES[name].name;
  const { consumers } = await link.manager();
  try {
    return link.js.consumers.getConsumerFromInfo(await consumers.info(stream, shape.durable));
  } catch (error) {
    if (!isConsumerMissing(error)) throw error;
  }
  const info = await consumers.add(stream, {
    durable_name: shape.durable,
    filter_subject: shape.filter,
    ack_policy: AckPolicy.Explicit,
    ack_wait: nanos(shape.ackWaitMs),
    deliver_policy: DeliverPolicy.All,
    // The bound on deliveries is kept by the consumer, which can say that it gave up; the server would leave the message lying there.
    max_deliver: -1,
  });
  return link.js.consumers.getConsumerFromInfo(info);
}
