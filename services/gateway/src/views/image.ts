import type { api, Image } from "@banyan/contracts";
import { iso } from "./time.ts";

export function imageView(image: Image): api.Image {
  const { id, names, kind, state, origin, error, base } = image;
  return {
    id,
    names,
    kind,
    state,
    size_bytes: image.layers.reduce((sum, layer) => sum + layer.sizeBytes, 0),
    origin,
    base: base && { reference: base.reference, pinned_to: base.pinnedTo },
    error,
    created_at: iso(image.createdAt),
    last_used_at: iso(image.lastUsedAt),
  };
}

export function imageDetailsView(image: Image, usedBy: { count: number; sandboxIds: string[] }): api.ImageDetails {
  const { env, workdir, user, entrypoint, ready, resources } = image.config;
  const { cpu, memoryMb, diskMb } = resources;
  return {
    ...imageView(image),
    layers: image.layers.map(({ digest, sizeBytes }) => ({ digest, size_bytes: sizeBytes })),
    history: image.history.map(({ title, digest, sizeBytes, at }) => ({ title, digest, size_bytes: sizeBytes, created_at: iso(at) })),
    config: {
      env,
      workdir,
      user,
      entrypoint,
      ready,
      resources: {
        ...(cpu !== undefined && { cpu }),
        ...(memoryMb !== undefined && { memory_mb: memoryMb }),
        ...(diskMb !== undefined && { disk_mb: diskMb }),
      },
    },
    used_by: { sandboxes: usedBy.count, sandbox_ids: usedBy.sandboxIds },
  };
}
