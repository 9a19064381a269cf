import { fault } from "@banyan/contracts";
import { idPattern } from "@banyan/kernel";

const VOLUME_ID = idPattern("vol");
const TARGET = /^\/volumes\/([^/?]+)(?:\/([^?]*))?(\?.*)?$/s;

/** One address of the data plane. */
export interface Target {
  volumeId: string;
  /** Below the volume, not decoded. */
  path: string;
  /** Empty, or starts with `?`. */
  query: string;
}

/** Throws request.not_found, volume.not_found. */
export function parseTarget(url: string): Target {
  const [, volumeId = "", path = "", query = ""] = TARGET.exec(url) ?? [];
  if (volumeId === "") throw fault("request.not_found");
  if (!VOLUME_ID.test(volumeId)) throw fault("volume.not_found", { volume: volumeId.slice(0, 64) });
  return { volumeId, path, query };
}

/** The one of `routes` for the method and the path. Throws request.not_found, request.method_not_allowed. */
export function pick<R extends { method: string }>(routes: readonly R[], method: string): R {
  const found = routes.find((route) => route.method === method);
  if (found !== undefined) return found;
  throw routes.length > 0
    ? fault("request.method_not_allowed", { allow: routes.map((route) => route.method) })
    : fault("request.not_found");
}
