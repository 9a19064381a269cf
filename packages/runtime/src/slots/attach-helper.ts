import { AttachClient } from "../native/index.ts";

/** What the node asks of the native helper. */
export type AttachOperations = Pick<
  AttachClient,
  | "attach"
  | "mount"
  | "unmount"
  | "kill"
  | "diskCreate"
  | "diskDelete"
  | "diskLimit"
  | "diskUsage"
  | "diskEnable"
  | "cgroup"
  | "run"
  | "freeze"
>;

export interface AttachHelperOptions {
  binaryPath: string;
  /** Told that the helper ended and another one is started; or why that is not possible. */
  onExit: (failure: unknown) => void;
}

/** The helper as a node keeps it: one that ends, whatever the reason, is followed by another. Requests made in between fail. */
export class AttachHelper implements AttachOperations {
  readonly #options: AttachHelperOptions;
  #client: AttachClient;
  #isClosing = false;

  static async start(options: AttachHelperOptions): Promise<AttachHelper> {
    return new AttachHelper(options, await AttachClient.start(options));
  }

  private constructor(options: AttachHelperOptions, client: AttachClient) {
    this.#options = options;
    this.#client = client;
    this.#replaceOnExit();
  }

  attach: AttachClient["attach"] = (request) => this.#client.attach(request);
  mount: AttachClient["mount"] = (request) => this.#client.mount(request);
  unmount: AttachClient["unmount"] = (request) => this.#client.unmount(request);
  kill: AttachClient["kill"] = (request) => this.#client.kill(request);
  diskCreate: AttachClient["diskCreate"] = (request) => this.#client.diskCreate(request);
  diskDelete: AttachClient["diskDelete"] = (path) => this.#client.diskDelete(path);
  diskLimit: AttachClient["diskLimit"] = (path, limitBytes) => this.#client.diskLimit(path, limitBytes);
  diskUsage: AttachClient["diskUsage"] = (path) => this.#client.diskUsage(path);
  diskEnable: AttachClient["diskEnable"] = (path) => this.#client.diskEnable(path);
  cgroup: AttachClient["cgroup"] = (writes) => this.#client.cgroup(writes);
  freeze: AttachClient["freeze"] = (request) => this.#client.freeze(request);
  run: AttachClient["run"] = (argv, options) => this.#client.run(argv, options);

  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#client.close();
  }

  #replaceOnExit(): void {
    void this.#client.exited.then(async () => {
      if (this.#isClosing) return;
      this.#options.onExit(null);
      try {
        this.#client = await AttachClient.start(this.#options);
        this.#replaceOnExit();
      } catch (error) {
        this.#options.onExit(error);
      }
    });
  }
}
