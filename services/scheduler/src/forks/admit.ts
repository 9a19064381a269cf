import {
  DEFAULT_RESOURCES,
  type Fork,
  type ForkSource,
  fault,
  type InputOf,
  isFault,
  LIMITS,
  type NetworkPolicy,
  type Resources,
  type RunFork,
  type VolumeMount,
} from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import type { Context } from "../context.ts";
import { beginningOf, type ForkRow, type ForkTemplate, NO_COUNTS } from "../domain/fork.ts";
import { checkFork } from "../domain/fork-check.ts";
import { mountIssue, mountsOfChildren } from "../domain/mounts.ts";
import { chargeOf, shortageOf } from "../domain/quota.ts";
import type { Stack } from "../domain/sandbox.ts";
import { resolveMounts } from "../mounts.ts";

export type ForkOrder = InputOf<typeof RunFork>;

const OPEN: NetworkPolicy = { egress: "open", allow: [] };
const NOTHING_USED = { sandboxes: 0, cpu: 0, memoryMb: 0 };

interface Source {
  /** With the source's own volumes. */
  template: ForkTemplate;
  stack: Stack;
  /** Its files are on a node and have to be frozen there first. */
  hasDisk: boolean;
}

/** Writes a fork down and has it begun; a repeated order finds the first one's. Throws where it cannot be made. */
export async function admit(ctx: Context, order: ForkOrder): Promise<ForkRow> {
  const { orgId, forkId, source, spec, quota } = order;
  const first = await ctx.store.readFork(forkId);
  if (first !== null) return ownOf(first, orgId);
  refuse(checkFork(spec));
  const unfinished = [...ctx.forks.book.forks()].filter(({ row }) => row.orgId === orgId).length;
  if (unfinished >= LIMITS.forksUnfinishedMax) throw fault("fork.too_many", { unfinished, limit: LIMITS.forksUnfinishedMax });
  const found = source.kind === "sandbox" ? await sandboxSource(ctx, orgId, source, spec) : await imageSource(ctx, orgId, source, spec);
  refuse(checkFork(spec, { ...found.stack.config.env, ...found.template.env }));
  const shortage = shortageOf(NOTHING_USED, chargeOf("starting", found.template.resources), quota);
  if (shortage !== null) throw fault("sandbox.quota_exceeded", { ...shortage });
  const inserted = await insert(ctx, order, found);
  if (inserted !== null) return inserted;
  const other = await ctx.store.readFork(forkId);
  if (other === null) throw fault("fork.not_found", { id: forkId });
  return ownOf(other, orgId);
}

/** Null: there is one of this id. Until there is a row, `mounting` says what its children will mount. */
async function insert(ctx: Context, order: ForkOrder, found: Source): Promise<ForkRow | null> {
  const wanted = mountsAsked(found.template.volumes, order.spec.volumes);
  const mounting = ctx.mounting.begin(null, wanted);
  try {
    const mounts = await resolveMounts(ctx, order.orgId, wanted);
    mounting.resolved(mounts.declared);
    const template = { ...found.template, volumes: mounts.declared };
    const row = rowOf(order, { ...found, template }, ctx.clock.now());
    if (!(await ctx.store.insertFork(row))) return null;
    ctx.forks.add(row, mounts);
    return row;
  } finally {
    mounting.end();
  }
}

function ownOf(row: ForkRow, orgId: string): ForkRow {
  if (row.orgId === orgId) return row;
  throw fault("request.invalid", { issues: [{ path: ["forkId"], message: "this id is taken" }] });
}

function refuse(issues: readonly unknown[]): void {
  if (issues.length > 0) throw fault("request.invalid", { issues });
}

function mountsAsked(source: readonly VolumeMount[], own: readonly VolumeMount[]): VolumeMount[] {
  const { mounts, kept } = mountsOfChildren(source, own);
  const issue = mountIssue(mounts, kept, (asked) => ["volumes", asked]);
  refuse(issue === null ? [] : [issue]);
  return mounts;
}

async function sandboxSource(
  ctx: Context,
  orgId: string,
  { sandboxId }: Extract<ForkSource, { kind: "sandbox" }>,
  spec: ForkOrder["spec"],
): Promise<Source> {
  const sandbox = await ctx.sandboxes.find({ orgId, id: sandboxId });
  const { state, epoch, nodeId, stack, hasDisk } = sandbox;
  if (state !== "running" && state !== "stopped") throw fault("sandbox.illegal_transition", { state, epoch, command: "fork" });
  if (hasDisk && (nodeId === null || !ctx.nodes.isReachable(nodeId))) throw fault("node.unreachable", { nodeId });
  const { image, env, workdir, user, network, resources, volumes } = sandbox.spec;
  const template = {
    image,
    parentId: sandboxId,
    env,
    workdir,
    user,
    network: spec.network ?? network,
    resources: { ...resources, ...given(spec.resources) },
    volumes,
  };
  return { template, stack, hasDisk };
}

async function imageSource(
  ctx: Context,
  orgId: string,
  { image }: Extract<ForkSource, { kind: "image" }>,
  spec: ForkOrder["spec"],
): Promise<Source> {
  const stack = await ctx.images.resolve(orgId, image);
  const resources = { ...DEFAULT_RESOURCES, ...given(stack.config.resources), ...given(spec.resources) };
  const template = { image, parentId: null, env: {}, workdir: null, user: null, network: spec.network ?? OPEN, resources, volumes: [] };
  return { template, stack, hasDisk: false };
}

/** Without what is undefined, which would hide a default. */
function given(amounts: ForkOrder["spec"]["resources"] | Stack["config"]["resources"]): Partial<Resources> {
  return Object.fromEntries(Object.entries(amounts ?? {}).filter(([, amount]) => amount !== undefined));
}

function rowOf({ orgId, forkId, source, spec, quota }: ForkOrder, { template, stack, hasDisk }: Source, now: number): ForkRow {
  const { each, ...shared } = spec;
  const { imageId, layers, config } = stack;
  return {
    id: forkId,
    orgId,
    source,
    spec: shared,
    each,
    quota,
    template,
    frozenId: hasDisk ? newId("frz") : null,
    base: hasDisk ? null : { layers, shipped: layers, nodeId: null, imageId, config },
    freeze: hasDisk ? null : { way: "none", pausedMs: 0, skipped: [] },
    ...beginningOf(spec, now),
  };
}

/** Why an order that nobody waits for will never become a fork, or null where it may yet. */
export function refusalOf(error: unknown): string | null {
  if (isFault(error, "node.unreachable", "database.unavailable", "fork.too_many", "image.not_ready", "volume.not_ready")) return null;
  return isFault(error) && !["unavailable", "timeout", "internal"].includes(error.kind) ? error.code : null;
}

/** How an order ended that never became a fork. */
export const REFUSED_COUNTS = (count: number): Fork["counts"] => ({ ...NO_COUNTS, total: count, cancelled: count });
