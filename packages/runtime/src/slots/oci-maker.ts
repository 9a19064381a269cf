import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fault } from "@banyan/contracts";
import { type Clock, messageOf, newId } from "@banyan/kernel";
import { cgroupsOf } from "../cgroup/cgroup.ts";
import { isAlive, processStartTime } from "../host/proc.ts";
import type { NodeNetwork } from "../network/node-network.ts";
import type { AttachOperations } from "./attach-helper.ts";
import { MovingSlots } from "./moving-slots.ts";
import { removeCgroup } from "./oci-cgroup.ts";
import { ociConfig } from "./oci-config.ts";
import { loadedAppArmorProfile, makeSlotRoot } from "./oci-root.ts";
import { OciRuntime } from "./oci-runtime.ts";
import { PolledDeaths } from "./polled-deaths.ts";
import type { ListedSlot, Slot, SlotMaker } from "./slot.ts";
import { assertSocketsFit, socketPath, waitForInit } from "./slot-socket.ts";

export interface OciMakerOptions {
  /** runc or what behaves like it: a name in PATH or a path. */
  runtime: string;
  nodeId: string;
  /** Holds a directory per slot, bind-mounted into it for init's socket. */
  slotsDirectory: string;
  /** Holds the slots' bundles, the runtime's state, and the root that all slots share. */
  runDirectory: string;
  initPath: string;
  network: Pick<NodeNetwork, "addresses" | "connect" | "disconnect" | "linkName" | "links">;
  attach: Pick<AttachOperations, "run" | "kill">;
  clock: Clock;
}

/** What a later process needs to know of a slot. Written when all of it is made. */
type SlotRecord = Pick<Slot, "pid" | "startTime" | "address">;

const KILL_TIMEOUT_MS = 30_000;
const SLOT_ID = /^slot_[a-z0-9]+$/;
const CGROUP_PARENT = "/banyan";
const RECORD_NAME = "slot.json";

/**
 * The same slots without a container engine: an OCI runtime starts each from a bundle and is gone, so no shim stays and no daemon is asked.
 * What is here is told by directories alone: whatever a slot has, its directory is made first and removed last.
 */
export class OciSlotMaker implements SlotMaker {
  readonly #options: OciMakerOptions;
  readonly #runtime: OciRuntime;
  readonly #bundles: string;
  readonly #states: string;
  readonly #cgroupVersion: 1 | 2;
  readonly #appArmorProfile: string | null;
  readonly #deaths: PolledDeaths;
  #rootDirectory = "";
  /** Slots that are there, by id. */
  readonly #finished = new Map<string, Slot>();
  /** The addresses of slots that are there. */
  readonly #addresses = new Map<string, string>();
  readonly #moving = new MovingSlots();

  /** Throws, in words for who configured it, when the runtime does not work here. */
  static async open(options: OciMakerOptions): Promise<OciSlotMaker> {
    const maker = new OciSlotMaker(options);
    await maker.#runtime.check();
    return maker;
  }

  private constructor(options: OciMakerOptions) {
    this.#options = options;
    this.#bundles = join(options.runDirectory, "bundles");
    this.#states = join(options.runDirectory, "state");
    this.#runtime = new OciRuntime({ program: options.runtime, stateDirectory: this.#states, attach: options.attach });
    this.#cgroupVersion = cgroupsOf(process.pid).version;
    this.#appArmorProfile = loadedAppArmorProfile();
    this.#deaths = new PolledDeaths(this.#finished, options.clock);
    assertSocketsFit(options.slotsDirectory);
    for (const directory of [options.slotsDirectory, this.#bundles, this.#states]) mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  async prepare(): Promise<void> {
    this.#rootDirectory = await makeSlotRoot(this.#options.initPath, this.#options.runDirectory);
  }

  async make(): Promise<Slot> {
    const id = newId("slot");
    return this.#moving.during(id, () => this.#make(id));
  }

  async #make(id: string): Promise<Slot> {
    const { network, slotsDirectory, clock } = this.#options;
    const address = network.addresses.take();
    this.#addresses.set(id, address);
    try {
      await this.#writeBundle(id, address);
      const pid = await this.#runtime.run(id, join(this.#bundles, id));
      const startTime = processStartTime(pid);
      if (startTime === null) throw fault("node.no_slot", { slot: id }, { message: "the slot's init ended at once" });
      await network.connect(pid, id, address);
      await waitForInit(socketPath(slotsDirectory, id), clock);
      const record: SlotRecord = { pid, startTime, address };
      const slot = this.#slotOf(id, record);
      await writeFile(join(this.#bundles, id, RECORD_NAME), JSON.stringify(record));
      this.#finished.set(id, slot);
      return slot;
    } catch (error) {
      await this.#remove(id);
      throw ociFault("make a slot", error);
    }
  }

  async list(): Promise<ListedSlot[]> {
    try {
      return await this.#moving.listing((moving) => this.#list(moving));
    } catch (error) {
      throw ociFault("list the slots", error);
    }
  }

  async #list(moving: ReadonlySet<string>): Promise<ListedSlot[]> {
    const { network, slotsDirectory } = this.#options;
    const ids = new Set([slotsDirectory, this.#bundles, this.#states].flatMap((directory) => readdirSync(directory)));
    // A link whose slot is nowhere: its own name names it. `moving` is read last: it grows meanwhile.
    const links = await network.links();
    const owners = new Set([...ids, ...moving].map((id) => network.linkName(id)));
    const strays = links.filter((link) => !owners.has(link));
    return [...ids, ...strays].filter((id) => !moving.has(id)).map((id) => this.#inspect(id));
  }

  /** One that nobody finished is as good as dead, even while its init runs: no record says what it is. */
  #inspect(id: string): ListedSlot {
    const slot = this.#finished.get(id) ?? this.#recorded(id);
    if (slot === null || !isAlive(slot)) return { id, handle: id, alive: false };
    if (!this.#addresses.has(id)) {
      this.#options.network.addresses.adopt(slot.address);
      this.#addresses.set(id, slot.address);
    }
    this.#finished.set(id, slot);
    return { id, handle: id, alive: true, finished: true, slot };
  }

  #recorded(id: string): Slot | null {
    const record = this.#readRecord(id);
    return record === null || !isAlive(record) ? null : this.#slotOf(id, record);
  }

  async destroy({ id }: { id: string }): Promise<void> {
    await this.#moving.during(id, () => this.#remove(id));
  }

  onDeath(report: (slotId: string) => void): () => void {
    return this.#deaths.subscribe(report);
  }

  async #writeBundle(id: string, address: string): Promise<void> {
    const { nodeId, slotsDirectory } = this.#options;
    const [directory, bundle] = [join(slotsDirectory, id), join(this.#bundles, id)];
    await mkdir(directory, { mode: 0o700 });
    await mkdir(bundle, { mode: 0o700 });
    const config = ociConfig({
      id,
      nodeId,
      address,
      directory,
      rootDirectory: this.#rootDirectory,
      cgroup: join(CGROUP_PARENT, id),
      cgroupVersion: this.#cgroupVersion,
      appArmorProfile: this.#appArmorProfile,
    });
    await writeFile(join(bundle, "config.json"), JSON.stringify(config));
  }

  async #remove(id: string): Promise<void> {
    const { network, slotsDirectory, attach } = this.#options;
    const [directory, bundle, state] = [join(slotsDirectory, id), join(this.#bundles, id), join(this.#states, id)];
    // The id becomes a path and a command's argument: a stray link's name, or what somebody put here, is not taken for a slot's.
    if (SLOT_ID.test(id) && [directory, bundle, state].some((path) => existsSync(path))) {
      const process = this.#finished.get(id) ?? this.#readRecord(id);
      // The runtime's own way to wait for a process's end is to look every 100 ms.
      if (process !== null) await attach.kill({ pid: process.pid, startTime: process.startTime, timeoutMs: KILL_TIMEOUT_MS });
      await this.#runtime.remove(id);
      await removeCgroup(join(CGROUP_PARENT, id), this.#options.clock);
    }
    this.#finished.delete(id);
    await network.disconnect(network.linkName(id));
    for (const path of [bundle, directory]) await rm(path, { recursive: true, force: true });
    const address = this.#addresses.get(id);
    if (address === undefined) return;
    this.#addresses.delete(id);
    network.addresses.release(address);
  }

  #readRecord(id: string): SlotRecord | null {
    const path = join(this.#bundles, id, RECORD_NAME);
    if (!existsSync(path)) return null;
    try {
      return JSON.parse(readFileSync(path, "utf8")) as SlotRecord;
    } catch {
      // Half written by a process that was killed: the slot was not finished.
      return null;
    }
  }

  #slotOf(id: string, { pid, startTime, address }: SlotRecord): Slot {
    const { network, slotsDirectory } = this.#options;
    return {
      id,
      handle: id,
      pid,
      startTime,
      address,
      link: network.linkName(id),
      socketPath: socketPath(slotsDirectory, id),
      cgroups: cgroupsOf(pid),
    };
  }
}

/** No vendor's error leaves the maker. */
function ociFault(step: string, cause: unknown): Error {
  return fault("node.no_slot", { step }, { cause, message: `the OCI runtime failed to ${step}: ${messageOf(cause)}` });
}
