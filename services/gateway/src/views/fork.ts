import type {
  api,
  Fork,
  ForkChild,
  ForkCommand,
  ForkEvent,
  ForkOutcome,
  ForkPolicy,
  ForkSource,
  ForkSpec,
  GetLineage,
  OutputOf,
} from "@banyan/contracts";
import { LIMITS } from "@banyan/contracts";
import type { z } from "zod";
import { lifetimeOf } from "./sandbox.ts";
import { iso, isoOrNull } from "./time.ts";

/** The deadline comes first: what it ends is cancelled, and has not failed by its time. */
const DEADLINE_MARGIN_MS = 60_000;

/** Every default is filled in here; what is null is the source's own. */
export function forkSpecOf(body: api.ForkSandboxBody): ForkSpec {
  const command = commandOf(body.command, body.deadline_s);
  const policy = policyOf(body.policy);
  return {
    count: body.count ?? body.each.length,
    name: body.name,
    env: body.env,
    envCycle: body.env_cycle,
    each: body.each,
    labels: body.labels,
    resources: resourcesOf(body.limits),
    network: body.network,
    volumes: body.volumes,
    lifetime: lifetimeOf(body.lifetime),
    command,
    policy,
    after: body.after ?? (command === null || policy.kind === "first_success" ? "keep" : "stop"),
    losers: body.losers,
    spread: body.spread,
    maxParallel: body.max_parallel,
    retries: body.retries,
    deadlineS: body.deadline_s,
  };
}

function resourcesOf({ cpu, memory_mb: memoryMb, pids, disk_mb: diskMb }: api.ForkSandboxBody["limits"]): ForkSpec["resources"] {
  const stated = {
    ...(cpu !== undefined && { cpu }),
    ...(memoryMb !== undefined && { memoryMb }),
    ...(pids !== undefined && { pids }),
    ...(diskMb !== undefined && { diskMb }),
  };
  return Object.keys(stated).length === 0 ? null : stated;
}

function commandOf(command: api.ForkSandboxBody["command"], deadlineS: number): ForkCommand | null {
  if (command === null) return null;
  const untilDeadlineMs = Math.min(deadlineS * 1_000 + DEADLINE_MARGIN_MS, LIMITS.execTimeoutMsMax);
  if (typeof command === "string") {
    const outputMaxBytes = LIMITS.forkOutputBytesDefault;
    const nothing = { env: {}, cwd: null, user: null, stdin: null };
    return { argv: shell(command), ...nothing, timeoutMs: untilDeadlineMs, outputMaxBytes, outputToFiles: false };
  }
  const { env, cwd, user, stdin } = command;
  return {
    argv: command.argv ?? shell(command.shell ?? ""),
    env,
    cwd,
    user,
    stdin,
    timeoutMs: command.timeout_ms ?? untilDeadlineMs,
    outputMaxBytes: command.output_max_bytes,
    outputToFiles: command.output_to_files,
  };
}

const shell = (line: string): string[] => ["/bin/sh", "-c", line];

function policyOf(policy: api.ForkSandboxBody["policy"]): ForkPolicy {
  return typeof policy === "string" ? { kind: policy } : { kind: "best", goal: policy.best };
}

export function forkSourceOf(source: z.output<typeof api.ForkSourceInput>): ForkSource {
  if ("sandbox" in source) return { kind: "sandbox", sandboxId: source.sandbox };
  return { kind: "image", image: "image" in source ? source.image : source.snapshot };
}

/** `winner`: the child that won, where it was looked up; undefined: it was not. */
export function forkView(fork: Fork, winner?: ForkChild): api.Fork {
  const { source, spec } = fork;
  return {
    id: fork.id,
    source: source.kind === "sandbox" ? { sandbox: source.sandboxId } : { image: source.image },
    state: fork.state,
    state_reason: fork.stateReason,
    name: spec.name,
    labels: spec.labels,
    includes: fork.includes,
    freeze: fork.freeze && { way: fork.freeze.way, paused_ms: fork.freeze.pausedMs, skipped: fork.freeze.skipped },
    counts: fork.counts,
    in_waves: fork.inWaves,
    max_parallel: spec.maxParallel,
    policy: spec.policy.kind === "best" ? { best: spec.policy.goal } : spec.policy.kind,
    after: spec.after,
    has_command: spec.command !== null,
    winner: fork.winner === null ? null : { index: fork.winner, ...(winner && { sandbox_id: winner.sandboxId }) },
    created_at: iso(fork.createdAt),
    started_at: isoOrNull(fork.startedAt),
    ended_at: isoOrNull(fork.endedAt),
    deadline_at: iso(fork.deadlineAt),
    fix: nextCall(fork, winner),
  };
}

const ENDED: readonly Fork["state"][] = ["done", "cancelled", "failed"];
export const hasEnded = ({ state }: { state: Fork["state"] }): boolean => ENDED.includes(state);

/** What helps next, as it stands. */
function nextCall({ id, state, stateReason, winner, source, counts }: Fork, child: ForkChild | undefined): string {
  if (!hasEnded({ state })) {
    const follow = `Follow it: GET /v1/forks/${id}/events; end it: POST /v1/forks/${id}/cancel.`;
    if (stateReason === "quota") return `It waits for your quota: stop or delete sandboxes, or ask an admin for more. ${follow}`;
    if (stateReason === "none_fits")
      return `No node is large enough for one of its children (GET /v1/nodes): add one, or end it and ask for less in \`limits\`. ${follow}`;
    if (stateReason === "over_capacity")
      return `Its children stay, and the nodes cannot hold all of them at once (GET /v1/nodes): add a node, delete children, or end it and ask for less. ${follow}`;
    if (stateReason === "no_room") return `It waits for room on the nodes. ${follow}`;
    return follow;
  }
  if (winner !== null && source.kind === "sandbox") {
    return child?.sandboxId
      ? `Let the parent go on from the winner's files: POST /v1/sandboxes/${child.sandboxId}/promote.`
      : `Look at the winner: GET /v1/forks/${id}/children?after=${winner - 1}&limit=1.`;
  }
  if (counts.failed + counts.lost > 0) return `See why: GET /v1/forks/${id}/children?state=failed&state=lost.`;
  return `See how they ended: GET /v1/forks/${id}/children.`;
}

export function forkChildView(child: ForkChild): api.ForkChild {
  return {
    index: child.index,
    sandbox_id: child.sandboxId,
    node_id: child.nodeId,
    state: child.state,
    attempts: child.attempts,
    outcome: child.outcome && outcomeView(child.outcome),
    score: child.score,
    error: child.error,
    start_ms: child.startMs,
    started_at: isoOrNull(child.startedAt),
    ended_at: isoOrNull(child.endedAt),
  };
}

function outcomeView(outcome: ForkOutcome): NonNullable<api.ForkChild["outcome"]> {
  const { stdout, stderr, stdoutBytes, stderrBytes } = outcome;
  return {
    exit_code: outcome.exitCode,
    signal: outcome.signal,
    timed_out: outcome.timedOut,
    oom_killed: outcome.oomKilled ?? false,
    duration_ms: outcome.durationMs,
    stdout,
    stderr,
    stdout_bytes: stdoutBytes,
    stderr_bytes: stderrBytes,
    // What is no UTF-8 grows when it is replaced, and never shrinks.
    stdout_truncated: Buffer.byteLength(stdout) < stdoutBytes,
    stderr_truncated: Buffer.byteLength(stderr) < stderrBytes,
    changes: outcome.changes,
  };
}

export function forkEventView({ seq, at, event }: ForkEvent): api.ForkEvent {
  const head = { seq, at: iso(at) };
  if (event.kind === "state") return { ...head, event: "state", state: event.state, reason: event.reason };
  const children = event.children.map(({ index, sandboxId, state, exitCode, score }) => ({
    index,
    sandbox_id: sandboxId,
    state,
    exit_code: exitCode,
    score,
  }));
  return { ...head, event: "children", counts: event.counts, children };
}

export function lineageView({ rootId, sandboxes, forks, truncated }: OutputOf<typeof GetLineage>): api.Lineage {
  return {
    root_id: rootId,
    sandboxes: sandboxes.map((sandbox) => ({
      id: sandbox.sandboxId,
      parent_id: sandbox.parentId,
      fork_id: sandbox.forkId,
      index: sandbox.index,
      name: sandbox.name,
      state: sandbox.state,
      created_at: iso(sandbox.createdAt),
      promotions: sandbox.promotions.map(({ childId, at, forced }) => ({ child_id: childId, at: iso(at), forced })),
    })),
    forks: forks.map(({ forkId, parentId, state, counts }) => ({ id: forkId, parent_id: parentId, state, counts })),
    truncated,
  };
}
