import { type InputOf, isFault, type OutputOf, type Rpc } from "@banyan/contracts";
import { retry } from "@banyan/kernel";
import { headers } from "@nats-io/transport-node";
import type { Link } from "./link.ts";
import type { Replies } from "./replies.ts";
import { injectTrace, isTracing, withSendSpan } from "./trace.ts";
import { DEADLINE_HEADER, decode, decodeError, ERROR_HEADER, encode } from "./wire.ts";

const ATTEMPTS_MAX = 5;
const RETRY_BASE_MS = 50;
const RETRY_DELAY_MAX_MS = 1_000;

export interface CallOptions {
  /** Default: the verb's. */
  deadlineMs?: number;
  signal?: AbortSignal;
  /** Try again, within the deadline, while nobody answers. Only for a verb that may run twice. */
  retry?: boolean;
}

export async function call<R extends Rpc>(
  link: Link,
  replies: Replies,
  rpc: R,
  input: InputOf<R>,
  options: CallOptions,
): Promise<OutputOf<R>> {
  const payload = encode(input, link.payloadMaxBytes, rpc.subject);
  const endsAt = link.clock.monotonicMs() + (options.deadlineMs ?? rpc.deadlineMs);
  const attempt = async (): Promise<OutputOf<R>> => {
    link.assertConnected();
    const deadlineMs = Math.max(1, Math.ceil(endsAt - link.clock.monotonicMs()));
    const sent = headers();
    sent.set(DEADLINE_HEADER, String(deadlineMs));
    if (isTracing()) injectTrace(sent);
    const reply = await replies.request(rpc.subject, payload, deadlineMs, { headers: sent }, options.signal);
    if (reply.headers?.has(ERROR_HEADER)) throw decodeError(reply);
    return decode(rpc.output, reply, "internal") as OutputOf<R>;
  };
  return withSendSpan(`call ${rpc.subject}`, () => {
    if (!options.retry) return attempt();
    return retry(attempt, {
      attemptsMax: ATTEMPTS_MAX,
      baseDelayMs: RETRY_BASE_MS,
      delayMaxMs: RETRY_DELAY_MAX_MS,
      retryable: (error) => isFault(error, "bus.unavailable") && link.clock.monotonicMs() < endsAt,
      clock: link.clock,
      ...(options.signal && { signal: options.signal }),
    });
  });
}
