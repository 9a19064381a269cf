import { StartSandbox } from "@banyan/contracts";
import { handle } from "../context.ts";
import { startStopped } from "../start.ts";

/** Of the caller's time: for the start itself, once the files are there. */
const START_MARGIN_MS = 5_000;

export const startSandbox = handle(StartSandbox, (ctx, { orgId, id, quota, deadlineMs }, request) =>
  startStopped(ctx, { orgId, id, quota, deadlineMs, archiveWaitMs: Math.max(0, request.deadlineMs - START_MARGIN_MS) }),
);
