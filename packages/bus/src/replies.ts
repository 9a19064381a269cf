import { fault } from "@banyan/contracts";
import { createInbox, type Msg, type PublishOptions } from "@nats-io/transport-node";
import { type Link, unavailable } from "./link.ts";

interface Waiting {
  subject: string;
  resolve(msg: Msg): void;
  reject(error: unknown): void;
  timer: NodeJS.Timeout;
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
      const fail = (error: unknown): void => {
        if (!this.waiting.delete(token)) return;
        clearTimeout(timer);
        reject(error);
      };
      const timer = setTimeout(() => fail(fault("bus.timeout", { subject, timeoutMs })), timeoutMs);
      this.waiting.set(token, { subject, resolve, reject, timer });
      if (signal) this.followSignal(token, signal, fail);
      try {
        options.reply = this.prefix + token;
        this.link.nc.publish(subject, payload, options);
      } catch (cause) {
        fail(unavailable("the connection to NATS is closed", cause));
      }
    });
  }

  private followSignal(token: string, signal: AbortSignal, fail: (error: unknown) => void): void {
    const waiting = this.waiting.get(token);
    if (!waiting) return;
    const onAbort = (): void => fail(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    const { resolve, reject } = waiting;
    waiting.resolve = (msg) => (signal.removeEventListener("abort", onAbort), resolve(msg));
    waiting.reject = (error) => (signal.removeEventListener("abort", onAbort), reject(error));
  }

  private receive(error: Error | null, msg: Msg): void {
    if (error) return this.link.logger.error({ err: error }, "the reply inbox failed");
    const token = msg.subject.slice(this.prefix.length);
    const waiting = this.waiting.get(token);
    // An answer that came after its deadline.
    if (!waiting) return;
    this.waiting.delete(token);
    clearTimeout(waiting.timer);
    if (msg.data.length === 0 && msg.headers?.code === NO_RESPONDERS) waiting.reject(unavailable(`nobody serves ${waiting.subject}`));
    else waiting.resolve(msg);
  }

  private failAll(matches: (waiting: Waiting) => boolean, error: unknown): void {
    for (const [token, waiting] of this.waiting) {
      if (!matches(waiting)) continue;
      this.waiting.delete(token);
      clearTimeout(waiting.timer);
      waiting.reject(error);
    }
  }
}
