import { fault, GetBuild } from "@banyan/contracts";
import { handle } from "../context.ts";
import { findBuild } from "../store/find-build.ts";
import { findImageById } from "../store/find-image.ts";
import { buildView, imageView } from "../store/views.ts";

export const getBuild = handle(GetBuild, async ({ db }, { orgId, buildId }) => {
  const build = await findBuild(db, orgId, buildId);
  // A build is deleted with its image: the one without the other is one that goes just now.
  const image = build && (await findImageById(db, build.imageId, orgId));
  if (build === null || image === null) throw fault("build.not_found", { build: buildId });
  return { build: buildView(build), image: imageView(image) };
});
