import { CancelBuild, fault } from "@banyan/contracts";
import { handle } from "../context.ts";
import { cancelBuild as writeCancel } from "../store/cancel-build.ts";
import { buildView } from "../store/views.ts";

export const cancelBuild = handle(CancelBuild, async ({ db, clock, bell }, { orgId, buildId }) => {
  const build = await writeCancel(db, orgId, buildId, clock.now());
  if (build === null) throw fault("build.not_found", { build: buildId });
  bell.ring(build.id);
  return { build: buildView(build) };
});
