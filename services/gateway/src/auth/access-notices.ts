import type { Bus } from "@banyan/bus";
import { ACCESS_BUCKET, ACCESS_NOTICE_TTL_MS } from "@banyan/contracts";
import type { Clock, Logger } from "@banyan/kernel";
import type { KeyRing } from "./key-ring.ts";

export interface AccessNotices {
  /** A key or an organisation has changed: no gateway believes what it remembers of it. */
  changed(keyOrOrganisationId: string): Promise<void>;
  stop(): void;
}

export interface AccessNoticesOptions {
  bus: Bus;
  keyRing: KeyRing;
  clock: Clock;
  logger: Logger;
}

export async function openAccessNotices({ bus, keyRing, clock, logger }: AccessNoticesOptions): Promise<AccessNotices> {
  const bucket = bus.kv<{ at: number }>(ACCESS_BUCKET, { ttlMs: ACCESS_NOTICE_TTL_MS });
  const watching = await bucket.watch(({ key }) => keyRing.forget(key));
  return {
    async changed(id) {
      keyRing.forget(id);
      try {
        await bucket.put(id, { at: clock.now() });
      } catch (err) {
        // The change is in the database. The other gateways see it when their short memory of the key ends.
        logger.warn({ err, id }, "the other gateways could not be told of a changed key");
      }
    },
    stop: watching.stop,
  };
}
