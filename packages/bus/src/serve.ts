import { fault, type InputOf, type OutputOf, type Rpc } from "@banyan/contracts";
import { AppError, KINDS } from "@banyan/kernel";
import { headers, type Msg, type MsgHdrs } from "@nats-io/transport-node";
import { type Link, unavailable } from "./link.ts";
import { withReceiveSpan } from "./trace.ts";
import { deadlineOf, decode, ERROR_HEADER, encode, encodeError } from "./wire.ts";

const CONCURRENCY_MAX_DEFAULT = 256;
const DRAIN_MS = 10_000;

export interface Request {
  /** What is left of the caller's time. */
  readonly deadlineMs: number;
  /** Aborted when the deadline passes: nobody waits for the answer any more. */
  readonly signal: AbortSignal;
  readonly headers: MsgHdrs | undefined;
}

export type Handler<R extends Rpc> = (input: InputOf<R>, request: Request) => Promise<OutputOf<R>>;

export interface ServeOptions {
  /** Requests handled at once; one more is answered bus.unavailable. */
  concurrencyMax?: number;
}

export interface Served {
  /** Takes no more requests and waits, bounded, for those under way. */
  stop(): Promise<void>;
}

export function serve<R extends Rpc>(link: Link, rpc: R, handler: Handler<R>, options: ServeOptions): Served {
  const concurrencyMax = options.concurrencyMax ?? CONCURRENCY_MAX_DEFAULT;
  const active = new Set<Promise<void>>();
  const receive = (error: Error | null, msg: Msg): void => {
    if (error) {
      link.logger.error({ err: error, subject: rpc.subject }, "cannot serve this subject");
    } else if (active.size >= concurrencyMax) {
      respond(link, msg, unavailable(`${rpc.subject} is at its limit of ${concurrencyMax} at once`));
    } else {
      const answered = answer(link, rpc, handler, msg).finally(() => active.delete(answered));
      active.add(answered);
    }
  };
  // A node serves its own subject alone; a service shares its subjects among its processes.
  const queue = rpc.queue === null ? {} : { queue: rpc.queue };
  const subscription = link.nc.subscribe(rpc.subject, { ...queue, callback: receive });
  return {
    async stop() {
      if (!subscription.isClosed() && link.connected) await subscription.drain();
      const ended = new AbortController();
      await Promise.race([Promise.all(active), link.clock.sleep(DRAIN_MS, ended.signal).catch(() => {})]);
      ended.abort();
    },
  };
}

/** Runs the handler and answers once: its output, its error, or a timeout. Ends when the handler does. */
async function answer<R extends Rpc>(link: Link, rpc: R, handler: Handler<R>, msg: Msg): Promise<void> {
  const deadlineMs = deadlineOf(msg.headers, rpc.deadlineMs);
  const aborted = new AbortController();
  const timer = setTimeout(() => {
    const error = fault("bus.timeout", { subject: rpc.subject, deadlineMs });
    aborted.abort(error);
    respond(link, msg, error);
  }, deadlineMs);
  try {
    const input = decode(rpc.input, msg, "request.invalid") as InputOf<R>;
    const request: Request = { deadlineMs, signal: aborted.signal, headers: msg.headers };
    const output = await withReceiveSpan(`serve ${rpc.subject}`, msg.headers, () => handler(input, request));
    const payload = encode(output, link.payloadMaxBytes, rpc.subject);
    if (!aborted.signal.aborted) msg.respond(payload);
  } catch (error) {
    logFailure(link, rpc, error);
    if (!aborted.signal.aborted) respond(link, msg, error);
  } finally {
    clearTimeout(timer);
  }
}

function respond(link: Link, msg: Msg, error: unknown): void {
  const sent = headers();
  sent.set(ERROR_HEADER, error instanceof AppError ? error.code : "internal");
  try {
    msg.respond(encodeError(error, link.payloadMaxBytes), { headers: sent });
  } catch (err) {
    link.logger.warn({ err, subject: msg.subject }, "cannot answer: the connection is closed");
  }
}

function logFailure(link: Link, rpc: Rpc, error: unknown): void {
  const level = error instanceof AppError ? KINDS[error.kind].logLevel : "error";
  link.logger[level]({ err: error, subject: rpc.subject }, "a request failed");
}
