import type { BlobStore } from "@banyan/bus";
import type { Clock, Logger } from "@banyan/kernel";
import type Docker from "dockerode";
import type { BuildNetwork } from "./build-network.ts";
import type { ContextEntryType } from "./context.ts";
import type { HostAccess } from "./host-access.ts";
import type { KnownLayers } from "./known-layers.ts";

/** What the parts of a build share: the Docker Engine, the store, and what is known of both. */
export interface Engine {
  docker: Docker;
  blobs: BlobStore;
  network: BuildNetwork;
  layers: KnownLayers;
  /** For layers on their way into the store; emptied at the start. */
  draftsDirectory: string;
  access: HostAccess;
  logger: Logger;
  clock: Clock;
  /** Of this builder, the same after a restart. */
  name: string;
  cpus: number;
  /** As image configs call it, like `amd64`. */
  architecture: string;
  /** Whether the directories in which the engine keeps its layers say all there is to say of them. */
  readsOverlay: boolean;
  /** Of those who ask for the same at once, one does it. */
  once<T>(what: string, operation: () => Promise<T>): Promise<T>;
  contextOf(orgId: string, digest: string): Promise<ReadonlyMap<string, ContextEntryType>>;
  isInUse(image: string): boolean;
}
