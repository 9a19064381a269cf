import { fault, UnmountVolume } from "@banyan/contracts";
import { handle } from "../context.ts";
import { recordOf } from "../domain/sandbox.ts";
import { declareMounts, unmountOn } from "../mounts.ts";

/** First the node, then the row: after an interruption it is asked for again, and where nothing is mounted any more that is success. */
export const unmountVolume = handle(UnmountVolume, (ctx, input) =>
  ctx.lanes.run(input.id, async (signal) => {
    const sandbox = await ctx.sandboxes.find(input);
    const { state, epoch, spec } = sandbox;
    if (state !== "running" && state !== "stopped") throw fault("sandbox.illegal_transition", { state, epoch, command: "unmount" });
    const { path, force } = input;
    if (!spec.volumes.some((mount) => mount.path === path)) throw fault("mount.not_found", { path });
    if (state === "running") await unmountOn(ctx, sandbox, { path, force, signal });
    const left = spec.volumes.filter((mount) => mount.path !== path);
    return { sandbox: recordOf(await declareMounts(ctx, sandbox, left)) };
  }),
);
