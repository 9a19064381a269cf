import { fault, type InputOf, MountVolume, type VolumeMount } from "@banyan/contracts";
import { type Context, handle } from "../context.ts";
import { isSameMount, type Mounts, mountIssue } from "../domain/mounts.ts";
import { recordOf, type Sandbox } from "../domain/sandbox.ts";
import { declareMounts, mountOn, resolveMounts, unmountAgain } from "../mounts.ts";

/**
 * First the node, then the row: what a row tells of is there. A mount that the row does not tell of, because this process ended in between, goes with
 * the run; asked for again, it is found and written down.
 */
export const mountVolume = handle(MountVolume, (ctx, input) => ctx.lanes.run(input.id, (signal) => mount(ctx, input, signal)));

async function mount(ctx: Context, input: InputOf<typeof MountVolume>, signal: AbortSignal) {
  const sandbox = await ctx.sandboxes.find(input);
  const { state, epoch } = sandbox;
  if (state !== "running" && state !== "stopped") throw fault("sandbox.illegal_transition", { state, epoch, command: "mount" });
  const mounts = await resolveMounts(ctx, input.orgId, [input.mount], signal);
  const next = withMount(sandbox, mounts);
  if (state === "running") await mountOn(ctx, sandbox, mounts, signal);
  return { sandbox: recordOf(next === null ? sandbox : await write(ctx, sandbox, next)) };
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

async function write(ctx: Context, sandbox: Sandbox, volumes: VolumeMount[]): Promise<Sandbox> {
  try {
    return await declareMounts(ctx, sandbox, volumes);
  } catch (error) {
    const added = volumes.at(-1);
    if (sandbox.state === "running" && added !== undefined) await unmountAgain(ctx, sandbox, added.path);
    throw error;
  }
}
