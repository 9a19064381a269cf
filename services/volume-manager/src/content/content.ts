import { isFault } from "@banyan/contracts";
import type { InitFiles } from "@banyan/runtime";
import { findPlace, type Place, type PlaceDeps, type PlaceRef } from "./place.ts";
import { type Claim, Room, type RoomDeps } from "./room.ts";
import type { FileServers } from "./servers.ts";
import { volumeFault } from "./volume-fault.ts";

/** The content of volumes without a sandbox. */
export class Content {
  readonly #room: Room;
  readonly #deps: PlaceDeps;
  readonly #servers: FileServers;

  constructor(deps: PlaceDeps & RoomDeps, servers: FileServers) {
    this.#deps = deps;
    this.#servers = servers;
    this.#room = new Room(deps);
  }

  /** Throws volume.not_found, volume.version_not_found, volume.not_ready, volume.unsupported, volume.unreachable. */
  find(ref: PlaceRef): Promise<Place> {
    return findPlace(this.#deps, ref);
  }

  /** For what writes, with a claim on what is left of the volume. Throws what `find` and the work throw; of work that fails nothing is kept. */
  write<T>(ref: Omit<PlaceRef, "version">, work: (place: Place, claim: Claim) => Promise<T>): Promise<T> {
    return this.#room.claim(ref.volumeId, () => this.find({ ...ref, version: null }), work);
  }

  /** Throws what the work throws, as it is told of a volume. */
  async use<T>(place: Place, work: (files: InitFiles) => Promise<T>): Promise<T> {
    try {
      return await this.#servers.use(place, ({ files }) => work(files));
    } catch (thrown) {
      const told = volumeFault(thrown, place.volumeId);
      // The mount that the server is rooted in has died; what is at its path may have been mounted since.
      if (isFault(told, "volume.unreachable") && told.details.errno === "ENOTCONN") this.#servers.forget(place);
      throw told;
    }
  }
}
