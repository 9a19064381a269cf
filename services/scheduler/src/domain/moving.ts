import type { SandboxState } from "@banyan/contracts";

/** Why a sandbox is stopped that was stopped only to go on: on another node, or on other files. Whatever ends in between, it is started from there. */
export const MOVING = "moving";
/** Why one is stopped whose node is emptied without moving what runs. */
export const DRAINED = "drained";

/** Whether one in this state keeps its node from being empty. What has failed there is lost with it either way, and what is deleted is going. */
export const holdsDisks = (state: SandboxState): boolean =>
  state === "starting" || state === "running" || state === "stopping" || state === "stopped";
