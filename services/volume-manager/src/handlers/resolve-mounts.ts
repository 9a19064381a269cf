import { fault, type MountOrder, ResolveMounts, type VolumeMount } from "@banyan/contracts";
import { backendVolume } from "../backend-volume.ts";
import { type Context, handle } from "../context.ts";
import { assertMountable, assertVersionMountable } from "../domain/resolve-mounts.ts";
import { findVersion } from "../store/find-version.ts";
import { findVolumes } from "../store/find-volume.ts";
import type { VolumeRow } from "../store/schema.ts";

/** On the path of every start with volumes: one query, and one more for each mount that is pinned to a version. */
export const resolveMounts = handle(ResolveMounts, async (ctx, { orgId, mounts }) => {
  const found = await findVolumes(ctx.db, orgId, [...new Set(mounts.map(({ volume }) => volume))]);
  const resolved = await Promise.all(mounts.map((mount) => resolveMount(ctx, mount, found.get(mount.volume))));
  return { mounts: resolved.map(({ mount }) => mount), orders: resolved.map(({ order }) => order) };
});

async function resolveMount(
  ctx: Context,
  asked: VolumeMount,
  row: VolumeRow | undefined,
): Promise<{ mount: VolumeMount; order: MountOrder }> {
  assertMountable(asked, row);
  const backend = ctx.backends.of(row.backend);
  const version = asked.version === null ? null : await resolveVersion(ctx, asked, row);
  if (version !== null && !backend.capabilities().versions) {
    throw fault("request.invalid", { issues: [`volumes: a volume of the backend \`${row.backend}\` has no versions`] });
  }
  const { path, subpath, mode } = asked;
  const source = backend.mountSource(backendVolume(row, ctx.secretKey), version, row.store);
  return { mount: { ...asked, volume: row.id, version }, order: { path, subpath, mode, source } };
}

async function resolveVersion({ db }: Context, asked: VolumeMount, { id }: VolumeRow): Promise<string> {
  const version = await findVersion(db, id, asked.version ?? "");
  assertVersionMountable(asked, id, version);
  return version.id;
}
