import { messageOf } from "@banyan/kernel";
import type Docker from "dockerode";
import { z } from "zod";
import type { Engine } from "./engine.ts";
import { asking, orNull, statusOf } from "./engine-fault.ts";
import { STEP_REPOSITORY } from "./kept-steps.ts";
import { STACK_REPOSITORY } from "./stack-image.ts";

export interface PruneOptions {
  /** One that was not used for this long goes. */
  ageMsMax: number;
  /** Beyond this many those go that were not used for the longest. */
  countMax: number;
  now: number;
}

/** Removes engine images of steps and stacks that nobody has used for a while; never one that a build under way stands on. */
export async function pruneImages(engine: Engine, { ageMsMax, countMax, now }: PruneOptions): Promise<number> {
  const images = await asking("list kept images", () =>
    engine.docker.listImages({ filters: { reference: [STEP_REPOSITORY, STACK_REPOSITORY] } }),
  );
  const names = images.flatMap(({ RepoTags }) => RepoTags ?? []).filter((name) => !engine.isInUse(name));
  const used: { name: string; at: number }[] = [];
  for (const name of names) {
    const inspected = await asking("look at an image", () => orNull(engine.docker.getImage(name).inspect()));
    if (inspected !== null) used.push({ name, at: lastUsedAt(inspected) });
  }
  used.sort((one, other) => other.at - one.at);
  const old = used.filter(({ at }, index) => index >= countMax || at < now - ageMsMax);
  let removed = 0;
  for (const { name } of old) {
    // Between the list and now a build may have begun to stand on it.
    if (!engine.isInUse(name) && (await remove(engine, name))) removed++;
  }
  await engine.layers.prune();
  return removed;
}

const Tagged = z.object({ Metadata: z.object({ LastTagTime: z.string() }) });

/** When it was tagged last, which every use does. */
function lastUsedAt(inspected: Docker.ImageInspectInfo): number {
  const tagged = Tagged.safeParse(inspected);
  return Date.parse(tagged.success ? tagged.data.Metadata.LastTagTime : inspected.Created);
}

/** False: a container runs on it, or it is gone already. Layers that other images share stay with those. */
async function remove(engine: Engine, name: string): Promise<boolean> {
  try {
    await engine.docker.getImage(name).remove();
    return true;
  } catch (error) {
    const status = statusOf(error);
    if (status !== 404 && status !== 409) throw error;
    engine.logger.info({ image: name, reason: messageOf(error) }, "a kept image is still needed");
    return false;
  }
}
