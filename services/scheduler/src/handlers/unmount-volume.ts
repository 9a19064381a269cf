import { fault, type InputOf, isFault, UnmountVolume, type VolumeMount } from "@banyan/contracts";
import { type Context, handle } from "../context.ts";
import { recordOf, type Sandbox } from "../domain/sandbox.ts";
import { declareMounts, unmountOn } from "../mounts.ts";
import { settleEarlier } from "../settle-mount.ts";

/** The intent, the node, the row: what is cut short in between is finished by the loop, or by the next one who asks. */
export const unmountVolume = handle(UnmountVolume, (ctx, input) =>
  ctx.lanes.run(input.id, async (signal) => ({ sandbox: recordOf(await unmount(ctx, input, signal)) })),
);

async function unmount(ctx: Context, input: InputOf<typeof UnmountVolume>, signal: AbortSignal): Promise<Sandbox> {
  await ctx.sandboxes.find(input);
  const earlier = await settleEarlier(ctx, input.id);
  const sandbox = await ctx.sandboxes.find(input);
  const { state, epoch, spec } = sandbox;
  if (state !== "running" && state !== "stopped") throw fault("sandbox.illegal_transition", { state, epoch, command: "unmount" });
  const { path, force } = input;
  const mount = spec.volumes.find((each) => each.path === path);
  // Asked for again, and finished by that.
  if (mount === undefined && earlier?.kind === "unmount" && earlier.mount.path === path) return sandbox;
  if (mount === undefined) throw fault("mount.not_found", { path });
  if (state === "running") await takeOut(ctx, sandbox, { mount, force }, signal);
  return declareMounts(
    ctx,
    sandbox,
    spec.volumes.filter((each) => each !== mount),
  );
}

async function takeOut(
  ctx: Context,
  sandbox: Sandbox,
  { mount, force }: { mount: VolumeMount; force: boolean },
  signal: AbortSignal,
): Promise<void> {
  const { id: sandboxId, epoch } = sandbox;
  await ctx.store.saveMountIntent({ sandboxId, epoch, kind: "unmount", mount, force });
  try {
    await unmountOn(ctx, sandbox, { path: mount.path, force, signal });
  } catch (error) {
    // The node said that it stays. Where it said nothing, that is settled later.
    const isCertain = !isFault(error, "node.unreachable") && !signal.aborted;
    if (isCertain)
      await ctx.store.removeMountIntent(sandboxId).catch((err) => ctx.logger.warn({ err, sandboxId }, "an unmount is settled later"));
    throw error;
  }
}
