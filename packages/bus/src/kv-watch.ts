import { messageOf } from "@banyan/kernel";
import { type ConsumerMessages, DeliverPolicy, type JsMsg } from "@nats-io/jetstream";
import { type Link, unavailable } from "./link.ts";

const REOPEN_DELAY_MS = 500;
const READY_MS = 15_000;

export interface KvChange<T> {
  key: string;
  /** Null: deleted. */
  value: T | null;
  revision: number;
}

/**
 * One ordered consumer after another. The client's own consumer mends itself from its last sequence number, which is wrong when the server
 * came back without its store and counts from one again; so a new one is opened after each reconnection.
 */
export async function watchBucket<T>(
  link: Link,
  name: string,
  ensure: () => Promise<void>,
  parse: (entry: { json(): unknown }) => T,
  handler: (change: KvChange<T>) => void,
): Promise<{ stop(): void }> {
  const stopped = new AbortController();
  const prefix = `$KV.${name}.`;
  let messages: ConsumerMessages | undefined;
  const unsubscribe = link.onStatus((status) => {
    if (status !== "disconnected") messages?.stop();
  });

  const say = (msg: JsMsg): void => {
    const key = msg.subject.slice(prefix.length);
    const isGone = msg.headers?.has("KV-Operation") ?? false;
    try {
      handler({ key, value: isGone ? null : parse(msg), revision: msg.seq });
    } catch (err) {
      link.logger.error({ err, bucket: name, key }, "a value of the bucket could not be taken");
    }
  };
  const follow = async (onReady: () => void): Promise<void> => {
    link.assertConnected();
    await ensure();
    const consumer = await link.js.consumers.getPushConsumer(`KV_${name}`, {
      filter_subjects: `${prefix}>`,
      deliver_policy: DeliverPolicy.LastPerSubject,
    });
    let missing = (await consumer.info(true)).num_pending;
    if (missing === 0) onReady();
    messages = await consumer.consume();
    if (stopped.signal.aborted) messages.stop();
    for await (const msg of messages) {
      say(msg);
      if (--missing === 0) onReady();
    }
  };
  const run = async (onReady: () => void): Promise<void> => {
    while (!stopped.signal.aborted) {
      try {
        await follow(onReady);
      } catch (error) {
        if (link.connected) link.logger.warn({ bucket: name, reason: messageOf(error) }, "cannot watch the bucket; trying again");
        await link.clock.sleep(REOPEN_DELAY_MS, stopped.signal).catch(() => {});
      }
    }
  };
  const stop = (): void => {
    stopped.abort();
    unsubscribe();
    messages?.stop();
  };

  const ready = Promise.withResolvers<void>();
  const timer = setTimeout(() => {
    stop();
    ready.reject(unavailable(`the bucket ${name} was not read within ${READY_MS} ms`));
  }, READY_MS);
  run(ready.resolve).catch(ready.reject);
  await ready.promise;
  clearTimeout(timer);
  return { stop };
}
