import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { fault } from "@banyan/contracts";
import { type Clock, messageOf, newId } from "@banyan/kernel";
import type Docker from "dockerode";
import { cgroupsOf } from "../cgroup/cgroup.ts";
import { isAlive, processStartTime } from "../host/proc.ts";
import type { NodeNetwork } from "../network/node-network.ts";
import { slotContainer } from "./docker-container.ts";
import { DockerDeaths } from "./docker-deaths.ts";
import { LABEL_ADDRESS, LABEL_NODE, LABEL_SLOT } from "./docker-labels.ts";
import { MovingSlots } from "./moving-slots.ts";
import type { ListedSlot, Slot, SlotMaker } from "./slot.ts";
import { SLOT_IMAGE_REPOSITORY, type SlotImage, slotImage } from "./slot-image.ts";
import { assertSocketsFit, socketPath, waitForInit } from "./slot-socket.ts";

export interface DockerMakerOptions {
  docker: Docker;
  nodeId: string;
  /** Holds a directory per slot, bind-mounted into it for init's socket. */
  slotsDirectory: string;
  initPath: string;
  network: Pick<NodeNetwork, "addresses" | "connect" | "disconnect" | "linkName" | "links">;
  clock: Clock;
}

const ALIVE_STATES: ReadonlySet<string> = new Set(["running", "paused"]);
const SLOT_ID = /^slot_[a-z0-9]+$/;
/** In a slot's directory once everything of it is made. */
const FINISHED_NAME = "finished";

/** Slots as hardened Docker containers of an almost empty image. */
export class DockerSlotMaker implements SlotMaker {
  readonly #options: DockerMakerOptions;
  readonly #image: string;
  readonly #slotImage: SlotImage;
  readonly #deaths: DockerDeaths;
  /** Finished slots by their handle: while its process lives, nothing of one changes, and the engine need not be asked. */
  readonly #finished = new Map<string, Slot>();
  /** The addresses of slots that are there. */
  readonly #addresses = new Map<string, string>();
  readonly #moving = new MovingSlots();

  constructor(options: DockerMakerOptions) {
    this.#options = options;
    this.#slotImage = slotImage(options.initPath);
    this.#image = `${SLOT_IMAGE_REPOSITORY}:${this.#slotImage.tag}`;
    this.#deaths = new DockerDeaths(options.docker, options.nodeId, options.clock);
    assertSocketsFit(options.slotsDirectory);
    mkdirSync(options.slotsDirectory, { recursive: true, mode: 0o700 });
  }

  async prepare(): Promise<void> {
    const { docker } = this.#options;
    try {
      await docker.getImage(this.#image).inspect();
      return;
    } catch (error) {
      if (statusOf(error) !== 404) throw dockerFault("import the image of slots", error);
    }
    try {
      const [repo, tag] = this.#image.split(":");
      const progress = await docker.importImage(Readable.from(this.#slotImage.tar()), { repo, tag });
      await new Promise<void>((resolve, reject) =>
        docker.modem.followProgress(progress, (error: Error | null) => (error === null ? resolve() : reject(error))),
      );
    } catch (error) {
      throw dockerFault("import the image of slots", error);
    }
  }

  async make(): Promise<Slot> {
    const id = newId("slot");
    return this.#moving.during(id, () => this.#make(id));
  }

  async #make(id: string): Promise<Slot> {
    const { network, nodeId, slotsDirectory, clock } = this.#options;
    const address = network.addresses.take();
    const directory = join(slotsDirectory, id);
    let handle = "";
    this.#addresses.set(id, address);
    try {
      mkdirSync(directory, { mode: 0o700 });
      const container = await this.#create(slotContainer({ id, nodeId, address, directory, image: this.#image }));
      handle = container.id;
      await container.start();
      const { State } = await container.inspect();
      await network.connect(State.Pid, id, address);
      await waitForInit(socketPath(slotsDirectory, id), clock);
      const slot = this.#slotOf(id, handle, State.Pid, address);
      writeFileSync(join(directory, FINISHED_NAME), "");
      this.#finished.set(handle, slot);
      return slot;
    } catch (error) {
      await this.#remove({ id, handle });
      throw dockerFault("make a slot", error);
    }
  }

  async list(): Promise<ListedSlot[]> {
    try {
      return await this.#moving.listing((moving) => this.#list(moving));
    } catch (error) {
      throw dockerFault("list the slots", error);
    }
  }

  async #list(moving: ReadonlySet<string>): Promise<ListedSlot[]> {
    const { docker, network, nodeId, slotsDirectory } = this.#options;
    const containers = await docker.listContainers({ all: true, filters: { label: [`${LABEL_NODE}=${nodeId}`] } });
    const listed = await Promise.all(containers.map((each) => this.#inspect(each)));
    // A directory without a container is what a killed `make` or `destroy` left.
    const known = new Set(listed.map((slot) => slot.id));
    const strays = readdirSync(slotsDirectory).filter((id) => !known.has(id));
    // So is a link whose slot is nowhere; its own name names it. `moving` is read last: it grows meanwhile.
    const links = await network.links();
    const owners = new Set([...known, ...strays, ...moving].map((id) => network.linkName(id)));
    const strayLinks = links.filter((link) => !owners.has(link));
    const all: ListedSlot[] = [...listed, ...[...strays, ...strayLinks].map((id) => ({ id, handle: "", alive: false as const }))];
    return all.filter((slot) => !moving.has(slot.id));
  }

  async destroy(slot: { id: string; handle: string }): Promise<void> {
    await this.#moving.during(slot.id, () => this.#remove(slot));
  }

  onDeath(report: (slotId: string) => void): () => void {
    return this.#deaths.subscribe(report);
  }

  /** Somebody may have removed the image since: then it is made again. */
  async #create(options: Docker.ContainerCreateOptions): Promise<Docker.Container> {
    const { docker } = this.#options;
    try {
      return await docker.createContainer(options);
    } catch (error) {
      if (statusOf(error) !== 404) throw error;
      await this.prepare();
      return docker.createContainer(options);
    }
  }

  /** Dead is only what the engine says is dead: an engine that does not answer must not cost a sandbox its life. */
  async #inspect(container: Docker.ContainerInfo): Promise<ListedSlot> {
    const { Id: handle, Labels, State: state } = container;
    const label = Labels[LABEL_SLOT] ?? "";
    // The id becomes a path: one that was not made here is not taken for one.
    const id = SLOT_ID.test(label) ? label : handle;
    const address = Labels[LABEL_ADDRESS];
    if (!ALIVE_STATES.has(state) || address === undefined) return { id, handle, alive: false };
    const known = this.#finished.get(handle);
    if (known !== undefined && isAlive(known)) return { id, handle, alive: true, finished: true, slot: known };
    const pid = await this.#pidOf(handle);
    if (pid === null || processStartTime(pid) === null) return { id, handle, alive: false };
    if (!this.#addresses.has(id)) {
      this.#options.network.addresses.adopt(address);
      this.#addresses.set(id, address);
    }
    const finished = existsSync(join(this.#options.slotsDirectory, id, FINISHED_NAME));
    const slot = this.#slotOf(id, handle, pid, address);
    if (finished) this.#finished.set(handle, slot);
    return { id, handle, alive: true, finished, slot };
  }

  async #pidOf(handle: string): Promise<number | null> {
    try {
      const { State } = await this.#options.docker.getContainer(handle).inspect();
      return State.Pid > 0 ? State.Pid : null;
    } catch (error) {
      if (statusOf(error) === 404) return null;
      throw error;
    }
  }

  #slotOf(id: string, handle: string, pid: number, address: string): Slot {
    const startTime = processStartTime(pid);
    if (startTime === null) throw fault("node.no_slot", { slot: id }, { message: "the slot's init ended at once" });
    return {
      id,
      handle,
      pid,
      startTime,
      address,
      link: this.#options.network.linkName(id),
      socketPath: socketPath(this.#options.slotsDirectory, id),
      cgroups: cgroupsOf(pid),
    };
  }

  async #remove({ id, handle }: { id: string; handle: string }): Promise<void> {
    const { docker, network, slotsDirectory } = this.#options;
    this.#finished.delete(handle);
    if (handle !== "") {
      try {
        await docker.getContainer(handle).remove({ force: true, v: true });
      } catch (error) {
        // 404: gone; 409: its removal is under way.
        if (statusOf(error) !== 404 && statusOf(error) !== 409) throw dockerFault("remove a slot", error);
      }
    }
    await network.disconnect(network.linkName(id));
    await rm(join(slotsDirectory, id), { recursive: true, force: true });
    const address = this.#addresses.get(id);
    if (address === undefined) return;
    this.#addresses.delete(id);
    network.addresses.release(address);
  }
}

function statusOf(error: unknown): number | undefined {
  return error instanceof Error && "statusCode" in error && typeof error.statusCode === "number" ? error.statusCode : undefined;
}

/** No vendor's error leaves the maker. */
function dockerFault(step: string, cause: unknown): Error {
  return fault("node.no_slot", { step }, { cause, message: `the container engine failed to ${step}: ${messageOf(cause)}` });
}
