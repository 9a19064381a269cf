import { fault } from "@banyan/contracts";
import type { Clock, Logger } from "@banyan/kernel";
import { type JetStreamClient, type JetStreamManager, jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection, PermissionViolationError } from "@nats-io/transport-node";
import { errors } from "@nats-io/transport-node";

/** A request that a starting server swallowed is repeated after this long. */
const JETSTREAM_TIMEOUT_MS = 3_000;
const RETRY_AFTER_MS = 500;

export type BusStatus = "connected" | "disconnected" | "closed";

/** One connection to NATS, as the verbs see it. */
export interface Link {
  readonly nc: NatsConnection;
  readonly js: JetStreamClient;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly connected: boolean;
  /** The largest payload the server takes. */
  readonly payloadMaxBytes: number;
  /** The JetStream management API; needs no permission of its own to make. */
  manager(): Promise<JetStreamManager>;
  onStatus(listener: (status: BusStatus) => void): () => void;
  onPermissionViolation(listener: (violation: PermissionViolationError) => void): void;
  /** The error to throw instead of sending while the connection is away. */
  assertConnected(): void;
}

export function createLink(nc: NatsConnection, logger: Logger, clock: Clock): Link {
  const statusListeners = new Set<(status: BusStatus) => void>();
  const violationListeners = new Set<(violation: PermissionViolationError) => void>();
  const js = jetstream(nc, { timeout: JETSTREAM_TIMEOUT_MS });
  let connected = true;
  // Outlives short absences of nc.info, which is empty while the client reconnects.
  let payloadMaxBytes = nc.info?.max_payload ?? 1024 * 1024;

  const tell = (status: BusStatus): void => {
    connected = status === "connected";
    for (const listener of statusListeners) listener(status);
  };
  const follow = async (): Promise<void> => {
    for await (const status of nc.status()) {
      if (status.type === "disconnect") {
        logger.warn({ server: status.server }, "lost the connection to NATS");
        tell("disconnected");
      } else if (status.type === "reconnect") {
        payloadMaxBytes = nc.info?.max_payload ?? payloadMaxBytes;
        logger.info({ server: status.server }, "connected to NATS again");
        tell("connected");
      } else if (status.type === "error") {
        if (status.error instanceof errors.PermissionViolationError) for (const listener of violationListeners) listener(status.error);
        logger.error({ err: status.error }, "NATS reported an error");
      }
    }
    tell("closed");
  };
  follow().catch((err) => logger.error({ err }, "the status of the NATS connection cannot be followed any more"));

  const manager = jetstreamManager(nc, { timeout: JETSTREAM_TIMEOUT_MS, checkAPI: false });

  return {
    nc,
    js,
    logger,
    clock,
    get connected() {
      return connected;
    },
    get payloadMaxBytes() {
      return payloadMaxBytes;
    },
    manager: () => manager,
    onStatus(listener) {
      statusListeners.add(listener);
      return () => statusListeners.delete(listener);
    },
    onPermissionViolation: (listener) => void violationListeners.add(listener),
    assertConnected() {
      if (!connected) throw unavailable("the connection to NATS is lost");
    },
  };
}

export const unavailable = (reason: string, cause?: unknown) =>
  fault("bus.unavailable", { reason, retryAfterMs: RETRY_AFTER_MS }, { cause });
