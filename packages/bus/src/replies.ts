import { fault } from "@banyan/contracts";
import { createInbox, type Msg, type PublishOptions } from "@nats-io/transport-node";
import { type Link, unavailable } from "./link.ts";

interface Waiting {
  subject: string;
  resolve(msg: Msg): void;
  reject(error: unknown): void;
  /** Ends the timer and the listening to the caller's signal. */
  release(): void;
}

const NO_RESPONDERS = 503;

/**
 * Requests over one inbox subscription. The client's own `request` does the same, but leaves a request that was under way when the
 * connection broke waiting for its whole deadline; here it fails at once, and a signal can end it.
 */
export class Replies {
  private readonly link: Link;
  private readonly prefix: string;
  private readonly waiting = new Map<string, Waiting>();
  private next = 0;

  constructor(link: Link, inboxPrefix: string | undefined) {
    this.link = link;
    this.prefix = `${createInbox(inboxPrefix)}.`;
    link.nc.subscribe(`${this.prefix}*`, { callback: (error, msg) => this.receive(error, msg) });
    link.onStatus((status) => {
      if (status !== "connected") this.failAll(() => true, unavailable("the connection to NATS was lost while waiting for the answer"));
    });
    link.onPermissionViolation(({ operation, subject }) => {
      if (operation !== "publish") return;
      this.failAll(
        (waiting) => waiting.subject === subject,
        fault("internal", { subject }, { message: "This service may not call that subject." }),
      );
    });
  }

  request(subject: string, payload: Uint8Array, timeoutMs: number, options: PublishOptions, signal?: AbortSignal): Promise<Msg> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const token = (this.next++).toString(36);
      const fail = (error: unknown): void => this.take(token)?.reject(error);
      const onAbort = (): void => fail(signal?.reason);
      const timer = setTimeout(() => fail(fault("bus.timeout", { subject, timeoutMs })), timeoutMs);
      signal?.addEventListener("abort", onAbort, { once: true });
      const release = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
      };
      this.waiting.set(token, { subject, resolve, reject, release });
      try {
        options.reply = this.prefix + token;
        this.link.nc.publish(subject, payload, options);
      } catch (cause) {
        fail(unavailable("the connection to NATS is closed", cause));
      }
    });
  }

  /** Whoever takes a request settles it: answer, deadline, signal or lost connection, the first one wins. */
  private take(token: string): Waiting | undefined {
    const waiting = this.waiting.get(token);
    this.waiting.delete(token);
    waiting?.release();
    return waiting;
  }

  private receive(error: Error | null, msg: Msg): void {
    if (error) {
      this.link.logger.error({ err: error }, "the reply inbox failed");
      return;
    }
    // Undefined: the answer came after its deadline.
    const waiting = this.take(msg.subject.slice(this.prefix.length));
    if (msg.data.length === 0 && msg.headers?.code === NO_RESPONDERS) waiting?.reject(unavailable(`nobody serves ${waiting.subject}`));
    else waiting?.resolve(msg);
  }

  private failAll(matches: (waiting: Waiting) => boolean, error: unknown): void {
    for (const [token, waiting] of this.waiting) if (matches(waiting)) this.take(token)?.reject(error);
  }
}
