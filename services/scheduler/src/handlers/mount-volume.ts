import { fault, type InputOf, isFault, MountVolume, type VolumeMount } from "@banyan/contracts";
import { type Context, handle } from "../context.ts";
import { isSameMount, type Mounts, mountIssue } from "../domain/mounts.ts";
import { recordOf, type Sandbox } from "../domain/sandbox.ts";
import type { Flight } from "../memory/mounting.ts";
import { declareMounts, mountOn, resolveMounts, takeBack } from "../mounts.ts";
import { settleEarlier } from "../settle-mount.ts";

/**
 * The intent, the node, the row: what a row tells of is there, and what may be there counts as in use. Where this is cut short in between, it is undone
 * by the loop, or by the next one who asks.
 */
export const mountVolume = handle(MountVolume, (ctx, input) =>
  ctx.lanes.run(input.id, async (signal) => {
    const mounting = ctx.mounting.begin(input.id, [input.mount]);
    try {
      return { sandbox: recordOf(await mount(ctx, input, mounting, signal)) };
    } finally {
      mounting.end();
    }
  }),
);

async function mount(ctx: Context, input: InputOf<typeof MountVolume>, mounting: Flight, signal: AbortSignal): Promise<Sandbox> {
  await ctx.sandboxes.find(input);
  await settleEarlier(ctx, input.id);
  const sandbox = await ctx.sandboxes.find(input);
  const { state, epoch } = sandbox;
  if (state !== "running" && state !== "stopped") throw fault("sandbox.illegal_transition", { state, epoch, command: "mount" });
  const mounts = await resolveMounts(ctx, input.orgId, [input.mount], signal);
  mounting.resolved(mounts.declared);
  const next = withMount(sandbox, mounts);
  if (state === "stopped") return next === null ? sandbox : declareMounts(ctx, sandbox, next);
  if (next !== null) return mountInto(ctx, sandbox, { mounts, next }, signal);
  // The row tells of it already.
  await mountOn(ctx, sandbox, mounts, signal);
  return sandbox;
}

/** What the sandbox declares then; null where it has the same mount already. */
function withMount({ spec }: Sandbox, { declared }: Mounts): VolumeMount[] | null {
  const [asked] = declared;
  if (asked === undefined) throw fault("internal", {}, { message: "a mount was resolved to nothing" });
  const there = spec.volumes.find(({ path }) => path === asked.path);
  if (there !== undefined && isSameMount(there, asked)) return null;
  if (there !== undefined) throw fault("mount.exists", { path: there.path, volume: there.volume });
  const volumes = [...spec.volumes, asked];
  const issue = mountIssue(volumes, spec.volumes.length, () => ["mount"]);
  if (issue !== null) throw fault("request.invalid", { issues: [issue] });
  return volumes;
}

async function mountInto(
  ctx: Context,
  sandbox: Sandbox,
  { mounts, next }: { mounts: Mounts; next: VolumeMount[] },
  signal: AbortSignal,
): Promise<Sandbox> {
  const { id: sandboxId, epoch } = sandbox;
  const added = next.slice(-1);
  for (const mount of added) await ctx.store.saveMountIntent({ sandboxId, epoch, kind: "mount", mount, force: true });
  try {
    await mountOn(ctx, sandbox, mounts, signal);
    return await declareMounts(ctx, sandbox, next);
  } catch (error) {
    // Of a write that may still come true nobody knows which it is to be; what is being deleted is not asked any more.
    if (!isFault(error, "database.unavailable") && !signal.aborted) for (const { path } of added) await takeBack(ctx, sandbox, path);
    throw error;
  }
}
