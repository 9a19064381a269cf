import { createHash } from "node:crypto";
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

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** A tar of one entry after another: an ustar header, and its content. */
export function tarWith(...entries: { name: Buffer | string; type?: string; link?: string; data?: string }[]): Uint8Array<ArrayBuffer> {
  const blocks: Buffer[] = [];
  for (const { name, type = "0", link = "", data = "" } of entries) {
    const header = Buffer.alloc(512);
    Buffer.from(name).copy(header, 0);
    header.write("0000644\0", 100);
    header.write("0000000\0", 108);
    header.write("0000000\0", 116);
    header.write(`${data.length.toString(8).padStart(11, "0")}\0`, 124);
    header.write("00000000000\0", 136);
    header.write("        ", 148);
    header.write(type, 156);
    header.write(link, 157);
    header.write("ustar\0" + "00", 257);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    blocks.push(header, Buffer.from(data), Buffer.alloc((512 - (data.length % 512)) % 512));
  }
  return new Uint8Array(Buffer.concat([...blocks, Buffer.alloc(1024)]));
}
