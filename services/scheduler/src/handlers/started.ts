import type { CreateSandbox, OutputOf } from "@banyan/contracts";
import type { Context } from "../context.ts";
import { type Launch, recordOf, type Sandbox } from "../domain/sandbox.ts";
import { routeOf } from "./route-sandbox.ts";

/** What create and start answer of a sandbox that runs. */
export function started(ctx: Context, sandbox: Sandbox, launch: Launch): OutputOf<typeof CreateSandbox> {
  const { imageId, config } = sandbox.stack;
  const image = { id: imageId, entrypoint: config.entrypoint, ready: config.ready ?? null };
  return { sandbox: recordOf(sandbox), route: routeOf(ctx, sandbox), path: launch.path, timing: launch.timing, image };
}
