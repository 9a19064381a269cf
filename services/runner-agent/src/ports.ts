import type { InitClient } from "@banyan/runtime";

/** A sandbox that runs on this node, as the data plane sees it. */
export interface RunningSandbox {
  readonly sandboxId: string;
  readonly orgId: string;
  readonly epoch: number;
  readonly init: InitClient;
  /** The image's and the sandbox's variables, merged; each exec adds its own. */
  readonly env: Readonly<Record<string, string>>;
  readonly workdir: string;
  readonly user: string;
  /** Marks the sandbox as in use until the returned function is called: open operations keep it from counting as idle. */
  use(): () => void;
  /** How many processes the kernel has killed in it for memory so far. */
  oomKills(): Promise<number>;
}

/** Which sandboxes are here. The node machinery fills it; the data plane reads it. */
export interface SandboxDirectory {
  /** Throws sandbox.not_found, sandbox.not_running or sandbox.stale_epoch. */
  find(ref: { sandboxId: string; orgId: string; epoch: number }): RunningSandbox;
}
