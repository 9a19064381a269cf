import type { MountOptions } from "@banyan/sdk";
import { InvalidArgumentError } from "commander";

/** `data`, `vol_…`, and with `@name` a version of it. */
const VOLUME = /^([a-z0-9][a-z0-9-]*|vol_[0-9a-z]+)(?:@([A-Za-z0-9_-]+))?$/;
const MODES = ["rw", "ro", "cow"] as const;
const UNITS: Record<string, number> = { m: 1, g: 1024, t: 1024 ** 2 };

export interface InVolume {
  volume: string;
  version: string | null;
  path: string;
}

/** `data:/path` and `data@v1:/path` are in a volume; null: everything else is here, as `./a:b` is. */
export function parseInVolume(text: string): InVolume | null {
  const at = text.indexOf(":");
  const [, volume, version = null] = VOLUME.exec(at < 0 ? "" : text.slice(0, at)) ?? [];
  if (volume === undefined) return null;
  const path = text.slice(at + 1);
  return { volume, version, path: path.startsWith("/") ? path : `/${path}` };
}

/** The same where it has to be one. */
export function inVolume(text: string): InVolume {
  const place = parseInVolume(text);
  if (place === null) throw new InvalidArgumentError("Write it as <volume>:/path.");
  return place;
}

/** `data:/data`, `data:/data:ro`, `data@v1:/data:cow:some/directory`. */
export function parseMount(text: string): MountOptions {
  const [named = "", path = "", mode = "", ...rest] = text.split(":");
  const [, volume, version] = VOLUME.exec(named) ?? [];
  if (volume === undefined || path === "") throw new InvalidArgumentError("Write it as <volume>[@<version>]:/path[:mode][:subpath].");
  const known = MODES.find((one) => one === mode);
  if (known === undefined && mode !== "") throw new InvalidArgumentError(`The mode is ${MODES.join(", ")}; a subpath comes after it.`);
  const subpath = rest.join(":");
  return {
    volume,
    path,
    ...(known !== undefined && { mode: known }),
    ...(version !== undefined && { version }),
    ...(subpath !== "" && { subpath }),
  };
}

export function collectMount(text: string, before: MountOptions[] = []): MountOptions[] {
  return [...before, parseMount(text)];
}

/** `512`, `512M`, `10G`, `2T`, or `none`: in MB. */
export function quotaMb(text: string): number | null {
  if (text === "none") return null;
  const [, amount, unit = "m"] = /^(\d+(?:\.\d+)?)\s*([mgt])?b?$/i.exec(text) ?? [];
  const mb = Math.round(Number(amount) * (UNITS[unit.toLowerCase()] ?? 1));
  if (amount === undefined || !Number.isSafeInteger(mb)) throw new InvalidArgumentError("Write it as 512M, 10G, 2T or none.");
  return mb;
}
