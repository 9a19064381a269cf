import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock, Logger } from "@banyan/kernel";
import type { RunningSandbox } from "../ports.ts";

/** One request of the gateway to one running sandbox: it is authorised, and counts as activity until it ends. */
export interface Operation {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly sandbox: RunningSandbox;
  readonly requestId: string;
  /** The path's named parts, not decoded. */
  readonly params: Readonly<Record<string, string>>;
  /** What follows the matched path, for ports: starts with `/`. */
  readonly rest: string;
  /** Empty, or starts with `?`. */
  readonly query: string;
  readonly arrivedMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Aborted when the caller goes away before the answer is complete. */
  readonly signal: AbortSignal;
}

export type Handler = (operation: Operation) => Promise<void>;
