import { messageOf } from "@banyan/kernel";
import type Docker from "dockerode";
import type { Engine } from "./engine.ts";
import { asking, statusOf } from "./engine-fault.ts";

/** Says of a container which builder made it. */
export const LABEL_BUILDER = "banyan.builder";
/** No build lasts as long: a container older than this is a leftover, whoever made it. */
const BUILD_MS_MAX = 5 * 3600 * 1000;

/** A container for the time of `work`, gone afterwards whatever happens. */
export async function withContainer<T>(
  engine: Engine,
  options: Docker.ContainerCreateOptions,
  work: (container: Docker.Container) => Promise<T>,
): Promise<T> {
  const container = await asking("create a container", () =>
    engine.docker.createContainer({ ...options, Labels: { ...options.Labels, [LABEL_BUILDER]: engine.name } }),
  );
  try {
    return await work(container);
  } finally {
    await remove(container).catch((error) =>
      // The next start of the builder removes it; what `work` did counts more.
      engine.logger.warn({ container: container.id, reason: messageOf(error) }, "a build's container could not be removed"),
    );
  }
}

/** What a builder of this name that was killed has left, and what any has left long ago. */
export async function removeContainersLeft(engine: Engine): Promise<number> {
  const listed = await asking("list containers", () => engine.docker.listContainers({ all: true, filters: { label: [LABEL_BUILDER] } }));
  const left = listed.filter(
    ({ Labels, Created }) => Labels[LABEL_BUILDER] === engine.name || Created * 1000 < engine.clock.now() - BUILD_MS_MAX,
  );
  for (const { Id } of left) await asking("remove a container", () => remove(engine.docker.getContainer(Id)));
  return left.length;
}

/** One that is gone already, or on its way, is as good. */
async function remove(container: Docker.Container): Promise<void> {
  try {
    await container.remove({ force: true, v: true });
  } catch (error) {
    if (statusOf(error) !== 404 && statusOf(error) !== 409) throw error;
  }
}
