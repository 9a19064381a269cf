import type { ChildError } from "./fork.ts";

/** What a child is said to have come to, where it was not its command or its node that said so. */
export const NODE_LOST: ChildError = { code: "node.lost", message: "its node is gone" };
export const NO_ANSWER: ChildError = { code: "node.unreachable", message: "its node did not answer" };
export const INTERRUPTED: ChildError = { code: "fork.interrupted", message: "its command was interrupted" };
export const DISK_LOST: ChildError = { code: "sandbox.lost", message: "its sandbox was lost" };
export const SANDBOX_DIED: ChildError = { code: "sandbox.died", message: "its sandbox died under its command: killed, or out of memory" };
export const NODE_DRAINED: ChildError = { code: "node.drained", message: "its node was emptied while its command ran" };
export const SANDBOX_STOPPED: ChildError = { code: "sandbox.stopped", message: "its sandbox ended before its command" };
export const SANDBOX_DELETED: ChildError = { code: "sandbox.deleted", message: "its sandbox was deleted" };
export const NO_SCORE: ChildError = { code: "fork.no_score", message: "the last line of its output is not a number" };
export const SOURCE_LOST: ChildError = { code: "fork.source_lost", message: "the only node that had its files is gone" };
