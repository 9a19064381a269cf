import { fault, isFault } from "@banyan/contracts";
import { messageOf } from "@banyan/kernel";
import { type KV, Kvm } from "@nats-io/kv";
import { nanos } from "@nats-io/transport-node";
import type { z } from "zod";
import { type KvChange, watchBucket } from "./kv-watch.ts";
import { type Link, unavailable } from "./link.ts";
import { isStreamMissing } from "./missing.ts";
import { oncePerConnection } from "./once-per-connection.ts";
import { decode, encode } from "./wire.ts";

const KEYS_MAX = 100_000;
/** The server's default; it may not be longer than the time to live. */
const DEDUPE_WINDOW_MAX_MS = 120_000;

export interface KvOptions<T> {
  /** A value not written again for this long is gone. There is no notice of that: keep a deadline in the value where it matters. */
  ttlMs?: number;
  /** What a value must be. */
  schema?: z.ZodType<T>;
}

export interface Bucket<T> {
  put(key: string, value: T): Promise<void>;
  get(key: string): Promise<T | null>;
  delete(key: string): Promise<void>;
  keys(): Promise<string[]>;
  /**
   * Says the present value of every key, then every change. After a reconnection it says every present value again, so the handler must
   * take a value it has seen. Resolves when the present values have been said once.
   */
  watch(handler: (change: KvChange<T>) => void): Promise<{ stop(): void }>;
}

export function openBucket<T>(link: Link, name: string, options: KvOptions<T>): Bucket<T> {
  // Bound without a look at the server, so that who may only write needs no other permission.
  const bound: Promise<KV> = new Kvm(link.js).open(name, { allow_direct: true });
  const ensure = oncePerConnection(link, () => ensureBucket(link, name, options.ttlMs ?? 0));
  const attempt = async <R>(operation: (kv: KV) => Promise<R>): Promise<R> => {
    link.assertConnected();
    try {
      return await operation(await bound);
    } catch (error) {
      if (isFault(error)) throw error;
      throw unavailable(`the bucket ${name} does not answer: ${messageOf(error)}`, error);
    }
  };
  // A write that no bucket takes fails at once, and then the bucket is made.
  const write = (operation: (kv: KV) => Promise<unknown>): Promise<void> =>
    attempt(async (kv) => {
      await operation(kv).catch(async (error) => {
        if (!isStreamMissing(error)) throw error;
        await ensure.get();
        await operation(kv);
      });
    });
  // nats-server 2.9 leaves a direct read of a missing bucket without an answer, so it is made before.
  const read = <R>(operation: (kv: KV) => Promise<R>): Promise<R> =>
    attempt(async (kv) => {
      await ensure.get();
      return operation(kv);
    });
  const parse = (entry: { json(): unknown }): T => (options.schema ? decode(options.schema, entry, "internal") : (entry.json() as T));

  return {
    put: (key, value) => write((kv) => kv.put(key, encode(value, link.payloadMaxBytes, key))),
    get: (key) =>
      read(async (kv) => {
        const entry = await kv.get(key);
        return entry?.operation === "PUT" ? parse(entry) : null;
      }),
    delete: (key) => write((kv) => kv.delete(key)),
    keys: () =>
      read(async (kv) => {
        const keys: string[] = [];
        for await (const key of await kv.keys()) {
          if (keys.length >= KEYS_MAX) throw fault("request.too_large", { bucket: name, keysMax: KEYS_MAX });
          keys.push(key);
        }
        return keys;
      }),
    watch: (handler) => watchBucket(link, name, ensure.get, parse, handler),
  };
}

async function ensureBucket(link: Link, name: string, ttlMs: number): Promise<void> {
  const kv = await new Kvm(link.js).create(name, { ttl: ttlMs, history: 1 });
  const status = await kv.status();
  if (status.ttl === ttlMs) return;
  const { streams } = await link.manager();
  const window = ttlMs === 0 ? DEDUPE_WINDOW_MAX_MS : Math.min(ttlMs, DEDUPE_WINDOW_MAX_MS);
  await streams.update(status.streamInfo.config.name, { max_age: nanos(ttlMs), duplicate_window: nanos(window) });
}
