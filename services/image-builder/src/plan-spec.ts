import { contextBlob, fault, type ImageSpec } from "@banyan/contracts";
import { forEachAtMost } from "@banyan/service";
import type { Context } from "./context.ts";
import { referencesOf } from "./domain/dockerfile-references.ts";
import { normalise, type Plan } from "./domain/normalise.ts";
import { noteContext } from "./store/note-context.ts";
import type { PinnedBases } from "./store/schema.ts";

/** Beyond this a Dockerfile is not one image but a catalogue. */
const REFERENCES_MAX = 32;
const LOOKUPS_AT_ONCE = 8;
/** A context that takes longer to look through is looked through by the build itself. */
const CHECK_MS_MAX = 8_000;

/** Resolves what a spec stands on, and plans it. Nothing is built, and the Docker Engine is asked for nothing but what a registry has. */
export async function planSpec(ctx: Context, orgId: string, spec: ImageSpec): Promise<{ plan: Plan; pinned: PinnedBases }> {
  const pinned =
    spec.dockerfile === undefined ? { base: await ctx.bases.resolve(orgId, spec.base), from: [] } : await resolveFrom(ctx, orgId, spec);
  return { plan: planPinned(orgId, spec, pinned), pinned };
}

/** The same plan again, on what was resolved before. */
export const planPinned = (orgId: string, spec: ImageSpec, { base, from }: PinnedBases): Plan =>
  normalise({ orgId, spec, base, from, architecture: process.arch });

async function resolveFrom({ bases }: Context, orgId: string, spec: ImageSpec): Promise<PinnedBases> {
  const references = referencesOf(spec.dockerfile ?? "", spec.build_args ?? {});
  if (references.length > REFERENCES_MAX)
    throw fault("request.invalid", { issues: [`dockerfile: refers to ${references.length} images; ${REFERENCES_MAX} is the most`] });
  const from = new Map<string, PinnedBases["from"][number]>();
  await forEachAtMost(references, LOOKUPS_AT_ONCE, async (reference) => {
    from.set(reference, await bases.resolve(orgId, reference));
  });
  return { base: null, from: references.flatMap((reference) => from.get(reference) ?? []) };
}

/** Every context a plan copies from must have been uploaded by this organisation, and hold nothing that a context may not. */
export async function assertContexts(ctx: Context, orgId: string, plan: Plan): Promise<void> {
  const copied = plan.steps.flatMap(({ copy }) => (copy === null ? [] : [copy.context]));
  const digests = [...new Set([...copied, ...(plan.dockerfile?.context ? [plan.dockerfile.context] : [])])];
  await forEachAtMost(digests, LOOKUPS_AT_ONCE, async (digest) => {
    // Noted before it is looked whether it is there: from here on the sweep leaves it alone.
    await noteContext(ctx.db, orgId, digest, new Date(ctx.clock.now()));
    if (!(await ctx.bus.blobs.has(contextBlob(orgId, digest)))) throw fault("context.not_found", { digest });
    const inTime = new AbortController();
    const checking = ctx.engine.checkContext(orgId, digest).finally(() => inTime.abort());
    await Promise.race([checking, ctx.clock.sleep(CHECK_MS_MAX, inTime.signal).catch(() => checking)]);
  });
}
