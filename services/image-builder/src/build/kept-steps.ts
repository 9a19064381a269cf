import { createHash } from "node:crypto";
import type Docker from "dockerode";
import type { PlannedStep } from "../domain/plan.ts";
import type { Engine } from "./engine.ts";
import { asking } from "./engine-fault.ts";

/** Engine images of steps that were carried out, one a key: a later build with the same beginning goes on from the last of them. */
export const STEP_REPOSITORY = "banyan/step";
const LABEL_STEP = "banyan.step";
const TAG_LENGTH = 40;

const tagOf = (key: string): string => createHash("sha256").update(key).digest("hex").slice(0, TAG_LENGTH);
export const stepName = (key: string): string => `${STEP_REPOSITORY}:${tagOf(key)}`;

/** Which of these keys the engine has a step's image of. */
export async function keptKeys(engine: Engine, keys: readonly string[]): Promise<Set<string>> {
  if (keys.length === 0) return new Set();
  const images = await asking("list kept steps", () => engine.docker.listImages({ filters: { reference: [STEP_REPOSITORY] } }));
  const names = new Set(images.flatMap(({ RepoTags }) => RepoTags ?? []));
  return new Set(keys.filter((key) => names.has(stepName(key))));
}

/** Makes a step's image of the container that carried it out. */
export async function keepStep(container: Docker.Container, step: PlannedStep): Promise<string> {
  await asking("keep a step", () =>
    container.commit({
      repo: STEP_REPOSITORY,
      tag: tagOf(step.key),
      pause: false,
      comment: step.title,
      Labels: { [LABEL_STEP]: step.key },
    }),
  );
  return stepName(step.key);
}

/** Gives an image of the engine a name more; again, it notes that the image is used now. */
export async function nameImage(engine: Engine, image: string, name: string): Promise<void> {
  const colon = name.lastIndexOf(":");
  const target = { repo: name.slice(0, colon), tag: name.slice(colon + 1) };
  await asking("name an image", () => engine.docker.getImage(image).tag(target));
}
