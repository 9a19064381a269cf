import type { Camel } from "./case.ts";
import type { Client } from "./client.ts";
import { Files } from "./files.ts";

/** What has an address and files: a sandbox, a volume. */
export class Handle<Wire, Changes extends object> {
  readonly files: Files;
  protected readonly client: Client;
  protected readonly path: string;

  constructor(client: Client, path: string) {
    this.client = client;
    this.path = path;
    this.files = new Files(client, path);
  }

  look(): Promise<Camel<Wire>> {
    return this.saw(this.client.json<Wire>("GET", this.path));
  }

  update(changes: Changes): Promise<Camel<Wire>> {
    return this.saw(this.client.keyed<Wire>("PATCH", this.path, { json: changes }));
  }

  /** Passed by every answer that says how it is now; who keeps the last one listens here. */
  protected saw<Info extends Camel<Wire>>(answer: Promise<Info>): Promise<Info> {
    return answer;
  }
}
