import { fault, isFault } from "@banyan/contracts";
import { type Clock, type Logger, messageOf, retry, systemClock } from "@banyan/kernel";
import { type ConnectionOptions, connect, errors, type NatsConnection } from "@nats-io/transport-node";
import type { S3Location } from "./blobs/index.ts";
import { unavailable } from "./link.ts";

const DIAL_ATTEMPTS_MAX = 40;
const DIAL_DELAY_MAX_MS = 500;
const DIAL_TIMEOUT_MS = 5_000;
const RECONNECT_WAIT_MS = 100;
const PING_INTERVAL_MS = 10_000;

export interface ConnectBusOptions {
  /** `nats://host:port`, or several with commas; may carry `user:password@` or `token@`. */
  servers: string;
  /** Shown by the server for this connection. */
  name: string;
  logger: Logger;
  token?: string;
  user?: string;
  password?: string;
  clock?: Clock;
  /** Where blobs are kept; null: in NATS itself. */
  blobs?: S3Location | null;
}

/** NATS cannot keep one user's answers from another unless their inboxes differ: see permissions.ts. */
export const inboxPrefixOf = (user: string): string => `_INBOX_${user}`;

interface Address {
  servers: string[];
  user?: string;
  pass?: string;
  token?: string;
}

/** Takes the credentials out of the URLs, since the client does not read them there. */
export function parseServers(servers: string): Address {
  const address: Address = { servers: [] };
  for (const text of servers.split(",")) {
    const url = new URL(text.includes("://") ? text.trim() : `nats://${text.trim()}`);
    address.servers.push(url.host);
    if (url.username === "") continue;
    const user = decodeURIComponent(url.username);
    if (url.password === "") address.token = user;
    else Object.assign(address, { user, pass: decodeURIComponent(url.password) });
  }
  return address;
}

/** Waits for a server that is still starting; wrong credentials end it at once. Once connected, it reconnects for ever. */
export async function dial(options: ConnectBusOptions): Promise<NatsConnection> {
  const address = parseServers(options.servers);
  const user = options.user ?? address.user;
  const pass = options.password ?? address.pass;
  const token = options.token ?? address.token;
  const connection: ConnectionOptions = {
    servers: address.servers,
    name: options.name,
    timeout: DIAL_TIMEOUT_MS,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RECONNECT_WAIT_MS,
    reconnectJitter: RECONNECT_WAIT_MS,
    // A server that restarts may refuse before its users are loaded; giving up then would be for ever.
    ignoreAuthErrorAbort: true,
    pingInterval: PING_INTERVAL_MS,
    noAsyncTraces: true,
    ...(user !== undefined && { user, inboxPrefix: inboxPrefixOf(user) }),
    ...(pass !== undefined && { pass }),
    ...(token !== undefined && { token }),
  };
  const tryDial = async (): Promise<NatsConnection> => {
    try {
      return await connect({ ...connection });
    } catch (cause) {
      if (cause instanceof errors.AuthorizationError) {
        throw fault("internal", {}, { message: "NATS refused the credentials in NATS_URL.", cause });
      }
      throw unavailable(`NATS at ${address.servers.join(", ")} does not answer: ${messageOf(cause)}`, cause);
    }
  };
  return retry(tryDial, {
    attemptsMax: DIAL_ATTEMPTS_MAX,
    baseDelayMs: 100,
    delayMaxMs: DIAL_DELAY_MAX_MS,
    retryable: (error) => isFault(error, "bus.unavailable"),
    clock: options.clock ?? systemClock,
  });
}
