import type { api, Image } from "@banyan/contracts";

export function imageView(image: Image): api.Image {
  return {
    id: image.id,
    name: image.name,
    state: image.state,
    size_bytes: image.layers.reduce((sum, layer) => sum + layer.sizeBytes, 0),
    layers: image.layers.map((layer) => layer.digest),
    origin: image.origin,
    error: image.error,
    created_at: new Date(image.createdAt).toISOString(),
  };
}
