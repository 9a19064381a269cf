import { fault, type InputOf, Labels, UpdateSandbox } from "@banyan/contracts";
import { handle } from "../context.ts";
import { recordOf, type Sandbox } from "../domain/sandbox.ts";

export const updateSandbox = handle(UpdateSandbox, (ctx, input) =>
  ctx.lanes.run(input.id, async () => {
    const before = await ctx.sandboxes.find(input);
    const next = changed(before, input, ctx.clock.now());
    if (!(await ctx.store.updateSettings(before, next))) throw fault("sandbox.version_conflict", { version: before.version });
    ctx.ledger.follow(next);
    return { sandbox: recordOf(next) };
  }),
);

function changed(sandbox: Sandbox, { labels: asked = {}, lifetime: partial = {} }: InputOf<typeof UpdateSandbox>, now: number): Sandbox {
  const merged = Object.entries({ ...sandbox.spec.labels, ...asked }).filter(([, value]) => value !== null);
  const labels = Labels.safeParse(Object.fromEntries(merged));
  if (!labels.success) {
    throw fault("request.invalid", { issues: labels.error.issues.map(({ path, message }) => ({ path: ["labels", ...path], message })) });
  }
  const given = Object.fromEntries(Object.entries(partial).filter(([, value]) => value !== undefined));
  const lifetime = { ...sandbox.spec.lifetime, ...given };
  const expiresAt = lifetime.maxLifetimeS === null ? null : sandbox.createdAt + lifetime.maxLifetimeS * 1_000;
  return { ...sandbox, spec: { ...sandbox.spec, labels: labels.data, lifetime }, expiresAt, version: sandbox.version + 1, updatedAt: now };
}
