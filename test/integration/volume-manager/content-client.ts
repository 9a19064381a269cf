import { api, RouteVolume } from "@banyan/contracts";
import type { VolumesWorld } from "./volumes-harness.ts";

export interface Answer {
  status: number;
  headers: Headers;
  bytes: Buffer;
  /** Of a JSON answer. */
  body: Record<string, unknown> & { code?: string; details?: Record<string, unknown> };
}

export interface Ask {
  query?: Record<string, string | number>;
  json?: unknown;
  body?: string | Uint8Array<ArrayBuffer>;
  headers?: Record<string, string>;
  orgId?: string;
}

/** Asks the data plane of the volume-manager as the gateway does. */
export async function ask(world: VolumesWorld, method: string, volumeId: string, path: string, options: Ask = {}): Promise<Answer> {
  const { url } = await world.bus.call(RouteVolume, { orgId: world.orgId, volume: volumeId });
  const { query = {}, json, body, headers = {}, orgId = world.orgId } = options;
  const address = new URL(`${url}/volumes/${volumeId}/${path}`);
  for (const [name, value] of Object.entries(query)) address.searchParams.set(name, String(value));
  const names = api.FORWARD_HEADERS;
  const response = await fetch(address, {
    method,
    headers: { [names.authorization]: `Bearer ${world.config.clusterToken}`, [names.orgId]: orgId, ...headers },
    ...(json !== undefined && { body: JSON.stringify(json) }),
    ...(body !== undefined && { body }),
  });
  const bytes = Buffer.from(await response.arrayBuffer());
  const isJson = (response.headers.get("content-type") ?? "").includes("json");
  return { status: response.status, headers: response.headers, bytes, body: isJson ? JSON.parse(bytes.toString()) : {} };
}
