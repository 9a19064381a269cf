import type { api } from "@banyan/contracts";
import type { Camel } from "./case.ts";
import type { Client } from "./client.ts";
import { BanyanError } from "./error.ts";
import { type Promotion, SandboxHandle } from "./sandbox.ts";

export type ForkChildInfo = Camel<api.ForkChild>;

/** One child of a fork, as it was when it was looked at. */
export class ForkChild {
  readonly info: ForkChildInfo;
  readonly #client: Client;

  constructor(client: Client, info: ForkChildInfo) {
    this.#client = client;
    this.info = info;
  }

  /** From 0; what it knows itself as `BANYAN_FORK_INDEX`. */
  get index(): number {
    return this.info.index;
  }

  get state(): ForkChildInfo["state"] {
    return this.info.state;
  }

  /** How its command ended; null while it has not, or where there is none. */
  get outcome(): ForkChildInfo["outcome"] {
    return this.info.outcome;
  }

  get score(): number | null {
    return this.info.score;
  }

  get error(): ForkChildInfo["error"] {
    return this.info.error;
  }

  /** To work in it; it runs only where the fork was asked to keep it. */
  sandbox(): SandboxHandle {
    const { sandboxId, index, state } = this.info;
    if (sandboxId !== null) return new SandboxHandle(this.#client, sandboxId);
    throw new BanyanError({
      code: "client.no_sandbox",
      message: `Child ${index} has no sandbox: it is ${state}.`,
      status: null,
      retryable: false,
      retryAfterMs: null,
      fix: "Take one that has started.",
      requestId: null,
      details: { index, state },
    });
  }

  /** Its parent goes on from its files. `force`: also where the parent's own have changed since the fork. */
  promote(options: { force?: boolean } = {}): Promise<Promotion> {
    return this.sandbox().promote(options);
  }
}
