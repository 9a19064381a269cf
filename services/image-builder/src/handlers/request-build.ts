import { BuildImage, fault, type ImageSpec, type InputOf, type OutputOf, RequestBuild } from "@banyan/contracts";
import { newId, seal } from "@banyan/kernel";
import { type Context, handle } from "../context.ts";
import { EMPTY_CONFIG } from "../domain/empty-config.ts";
import { withTag } from "../domain/image-name.ts";
import type { Plan } from "../domain/normalise.ts";
import { mergeConfig } from "../domain/normalise.ts";
import { secretsContext } from "../domain/seal-context.ts";
import { assertContexts, planSpec } from "../plan-spec.ts";
import { findLastBuild } from "../store/find-build.ts";
import { findImageById, findImageByKey } from "../store/find-image.ts";
import { type Request, requestBuild as writeRequest } from "../store/request-build.ts";
import type { BuildRow, ImageRow, PinnedBases } from "../store/schema.ts";
import { buildView, imageView, type NamedImage } from "../store/views.ts";

/** A build that has not begun by then has lost its chance. */
const QUEUED_MS_MAX = 3_600_000;

export const requestBuild = handle(RequestBuild, async (ctx, input) => {
  const { orgId, spec } = input;
  const { plan, pinned } = await planSpec(ctx, orgId, spec);
  const known = await findImageByKey(ctx.db, orgId, plan.key);
  if (known?.state === "ready" && (input.name === null || known.names.includes(withTag(input.name)))) {
    const made = await findLastBuild(ctx.db.orm, known.id);
    if (made !== null) return answer(ctx, known, made);
  }
  // What is there needs nothing of what it was made of.
  if (known?.state !== "ready") {
    assertSecrets(spec, input.secrets);
    await assertContexts(ctx, orgId, plan);
  }
  const { decision, image, build } = await writeRequest(ctx.db, requestOf(ctx, input, plan, pinned));
  if (decision === "build") await ctx.bus.publishJob(BuildImage, { imageId: image.id, version: image.version });
  return answer(ctx, (await findImageById(ctx.db, image.id, orgId)) ?? { ...image, names: [] }, build, decision === "ready");
});

function answer({ uses }: Context, image: NamedImage, build: BuildRow, cached = true): OutputOf<typeof RequestBuild> {
  if (cached) uses.note(image.id);
  return { build: buildView(build, cached), image: imageView(image) };
}

function requestOf(ctx: Context, input: InputOf<typeof RequestBuild>, plan: Plan, pinned: PinnedBases): Request {
  const now = ctx.clock.now();
  const { orgId, name, force } = input;
  return {
    image: newImage(orgId, plan, pinned, now),
    build: newBuild(ctx, input, plan, pinned, now),
    name: name === null ? null : withTag(name),
    force,
    now,
    unfinishedMax: ctx.config.unfinishedMax,
  };
}

function assertSecrets(spec: ImageSpec, secrets: Readonly<Record<string, string>>): void {
  const named = spec.steps.flatMap((step) => ("run" in step ? (step.secrets ?? []) : []));
  const missing = [...new Set(named)].filter((name) => !Object.hasOwn(secrets, name));
  if (missing.length > 0)
    throw fault("request.invalid", { issues: missing.map((name) => `secrets.${name}: is named by a step and not given`) });
}

function newImage(orgId: string, plan: Plan, { base, from }: PinnedBases, now: number): ImageRow {
  const at = new Date(now);
  // Of a Dockerfile, the first of those it names.
  const ground = base ?? from[0] ?? null;
  return {
    id: newId("img"),
    orgId,
    kind: "build",
    state: "building",
    layers: [],
    config: mergeConfig(base?.config ?? EMPTY_CONFIG, plan.config),
    origin: "build",
    base: ground && { reference: ground.reference, pinnedTo: ground.pinnedTo },
    history: [],
    wantedNames: [],
    error: null,
    key: plan.key,
    attempts: 0,
    version: 1,
    deadlineAt: at,
    createdAt: at,
    lastUsedAt: at,
  };
}

function newBuild(ctx: Context, input: InputOf<typeof RequestBuild>, plan: Plan, pinned: PinnedBases, now: number): BuildRow {
  const id = newId("bld");
  const hasSecrets = Object.keys(input.secrets).length > 0;
  return {
    id,
    orgId: input.orgId,
    imageId: "",
    state: "queued",
    key: plan.key,
    spec: input.spec,
    base: pinned,
    steps: plan.steps.map(({ index, title }) => ({ index, title, state: "waiting", durationMs: null, exitCode: null })),
    failure: null,
    attempts: 0,
    cancelWanted: false,
    secretsSealed: hasSecrets ? seal(JSON.stringify(input.secrets), ctx.secretKey, secretsContext(id)) : null,
    holder: null,
    leaseUntil: null,
    deadlineAt: new Date(now + QUEUED_MS_MAX),
    events: 0,
    logBytes: 0,
    createdAt: new Date(now),
    startedAt: null,
    endedAt: null,
  };
}
