import type { api } from "@banyan/contracts";
import { Keys, Organisations, type Usage } from "./access.ts";
import { Builds } from "./builds.ts";
import { Client, type ClientOptions } from "./client.ts";
import { Cluster, type Node } from "./cluster.ts";
import { Forks } from "./forks.ts";
import { Images } from "./images.ts";
import { Registries } from "./registries.ts";
import { Sandboxes } from "./sandboxes.ts";
import { Volumes } from "./volumes.ts";

/** Sandboxes in milliseconds: `const sandbox = await new Banyan().sandboxes.create()`. */
export class Banyan {
  readonly sandboxes: Sandboxes;
  readonly forks: Forks;
  readonly volumes: Volumes;
  readonly images: Images;
  readonly builds: Builds;
  readonly registries: Registries;
  readonly keys: Keys;
  readonly organisations: Organisations;
  readonly cluster: Cluster;
  readonly #client: Client;

  constructor(options: ClientOptions = {}) {
    this.#client = new Client(options);
    this.images = new Images(this.#client);
    this.builds = new Builds(this.#client);
    this.registries = new Registries(this.#client);
    this.forks = new Forks(this.#client, this.images);
    this.sandboxes = new Sandboxes(this.#client, this.images);
    this.volumes = new Volumes(this.#client);
    this.keys = new Keys(this.#client);
    this.organisations = new Organisations(this.#client);
    this.cluster = new Cluster(this.#client);
  }

  /** What the organisation holds, and what it may hold. */
  usage(): Promise<Usage> {
    return this.#client.json<api.Usage>("GET", "/v1/usage");
  }

  /** For keys with the role admin. */
  nodes(): Promise<Node[]> {
    return this.cluster.nodes();
  }
}
