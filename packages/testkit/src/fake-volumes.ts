import type { Bus, Served } from "@banyan/bus";
import { fault, type InputOf, type MountOrder, type OutputOf, ResolveMounts } from "@banyan/contracts";
import { newId } from "@banyan/kernel";

export interface FakeVolume {
  id: string;
  store: string;
  /** By name. */
  versions: Map<string, string>;
}

function versionOf({ versions }: FakeVolume, ref: string): string {
  const id = versions.get(ref) ?? [...versions.values()].find((one) => one === ref);
  if (id === undefined) throw fault("volume.version_not_found", { version: ref });
  return id;
}

export interface FakeVolumes {
  /** How often mounts were asked for. */
  resolved: number;
  /** Before each answer. May take its time, or throw. */
  onResolve: ((input: InputOf<typeof ResolveMounts>) => Promise<void>) | null;
  add(name: string, store: string): FakeVolume;
  remove(name: string): void;
  stop(): Promise<void>;
}

/** Keeps the contract of `mounts.resolve`, of whatever organisation, and has no files. */
export function fakeVolumes(bus: Bus): FakeVolumes {
  const known = new Map<string, FakeVolume>();
  const find = (ref: string): FakeVolume => {
    const volume = known.get(ref) ?? [...known.values()].find(({ id }) => id === ref);
    if (volume === undefined) throw fault("volume.not_found", { volume: ref });
    return volume;
  };

  async function resolve(input: InputOf<typeof ResolveMounts>): Promise<OutputOf<typeof ResolveMounts>> {
    volumes.resolved++;
    await volumes.onResolve?.(input);
    const mounts = input.mounts.map((mount) => {
      const volume = find(mount.volume);
      return { ...mount, volume: volume.id, version: mount.version === null ? null : versionOf(volume, mount.version) };
    });
    const orders = mounts.map(({ volume, version, path, subpath, mode }): MountOrder => {
      const { id: volumeId, store } = find(volume);
      return { path, subpath, mode, source: { kind: "directory", store, volumeId, versionId: version } };
    });
    return { mounts, orders };
  }

  const served: Served = bus.serve(ResolveMounts, resolve);
  const volumes: FakeVolumes = {
    resolved: 0,
    onResolve: null,
    add(name, store) {
      const volume = { id: newId("vol"), store, versions: new Map<string, string>() };
      known.set(name, volume);
      return volume;
    },
    remove: (name) => void known.delete(name),
    stop: () => served.stop(),
  };
  return volumes;
}
