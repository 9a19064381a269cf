import { ListBuilds } from "@banyan/contracts";
import { handle } from "../context.ts";
import { listBuilds as readBuilds } from "../store/list-builds.ts";
import { buildView } from "../store/views.ts";

export const listBuilds = handle(ListBuilds, async ({ db }, page) => {
  const found = await readBuilds(db, page);
  const builds = found.slice(0, page.limit).map((build) => buildView(build));
  return { builds, nextCursor: found.length > page.limit ? (builds.at(-1)?.id ?? null) : null };
});
