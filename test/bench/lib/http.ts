import type { api } from "@banyan/contracts";
import { eventually } from "@banyan/testkit";
import { Pool } from "undici";
import type { z } from "zod";

const CREATE_DEADLINE_MS = 120_000;
const BUILD_WAIT_S = 100;
const REMOVE_VOLUME_TIMEOUT_MS = 30_000;

export interface Reply<T> {
  status: number;
  body: T;
  /** From the call to the last byte of the answer. */
  ms: number;
}

export type ForkSaid =
  | { event: "state"; data: { state: api.Fork["state"]; reason: string | null } }
  | { event: "children"; data: Extract<api.ForkEvent, { event: "children" }> }
  | { event: "fork"; data: api.Fork }
  | { event: "problem"; data: unknown };

/** The API as a load generator sees it: plain HTTP with keep-alive, nothing between the clock and the socket. */
export class BenchClient {
  readonly #pool: Pool;
  readonly url: string;
  readonly key: string;

  constructor(url: string, key: string, connections = 64) {
    this.#pool = new Pool(url, { connections, pipelining: 1, headersTimeout: CREATE_DEADLINE_MS, bodyTimeout: CREATE_DEADLINE_MS });
    this.url = url;
    this.key = key;
  }

  async call<T>(method: "GET" | "POST" | "DELETE", path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Reply<T>> {
    const startedMs = performance.now();
    const response = await this.#pool.request({
      method,
      path,
      headers: { ...headers, authorization: `Bearer ${this.key}`, ...(body === undefined ? {} : { "content-type": "application/json" }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.body.text();
    const ms = performance.now() - startedMs;
    return { status: response.statusCode, body: (text === "" ? null : JSON.parse(text)) as T, ms };
  }

  async create(overrides: api.CreateSandboxInput = {}): Promise<Reply<api.StartedSandbox>> {
    return this.#expect(
      201,
      await this.call("POST", "/v1/sandboxes", { limits: { cpu: 1, memory_mb: 128, pids: 64, disk_mb: 256 }, ...overrides }),
    );
  }

  /** Waits for the image; answers when it is ready. */
  async build(spec: api.BuildImageInput["spec"]): Promise<Reply<{ image: api.Image; build: { cached: boolean } }>> {
    return this.#expect(200, await this.call("POST", "/v1/images", { spec }, { prefer: `wait=${BUILD_WAIT_S}` }));
  }

  async exec(id: string, body: api.ExecInput): Promise<Reply<api.ExecResult>> {
    return this.#expect(200, await this.call("POST", `/v1/sandboxes/${id}/exec`, body));
  }

  async remove(id: string): Promise<void> {
    const reply = await this.call<unknown>("DELETE", `/v1/sandboxes/${id}`);
    if (reply.status >= 300) throw new Error(`delete answered ${reply.status}: ${JSON.stringify(reply.body)}`);
  }

  async createVolume(body: z.input<typeof api.CreateVolumeBody>): Promise<api.Volume> {
    return this.#expect(201, await this.call<api.Volume>("POST", "/v1/volumes", body, { prefer: "wait=60" })).body;
  }

  /** Waits while the last sandboxes that had it are going. */
  async removeVolume(id: string): Promise<void> {
    await eventually(async () => (await this.call("DELETE", `/v1/volumes/${id}`)).status < 300, { timeoutMs: REMOVE_VOLUME_TIMEOUT_MS });
  }

  /** Asks for a fork and says its events as they come; the last is `fork`, or `problem`. */
  async *fork(id: string, body: api.ForkSandboxInput): AsyncGenerator<ForkSaid, void, undefined> {
    const response = await this.#pool.request({
      method: "POST",
      path: `/v1/sandboxes/${id}/forks`,
      headers: { accept: "text/event-stream", "content-type": "application/json", authorization: `Bearer ${this.key}` },
      body: JSON.stringify(body),
    });
    let pending = "";
    for await (const chunk of response.body) {
      pending += chunk.toString();
      const blocks = pending.split("\n\n");
      pending = blocks.pop() ?? "";
      for (const block of blocks) {
        const event = /^event: (.*)$/m.exec(block)?.[1];
        const data = /^data: (.*)$/m.exec(block)?.[1];
        if (event !== undefined && data !== undefined) yield { event, data: JSON.parse(data) } as ForkSaid;
      }
    }
    if (pending !== "") throw new Error(`the fork was answered with ${response.statusCode}: ${pending.slice(0, 500)}`);
  }

  async forkChildren(forkId: string): Promise<api.ForkChild[]> {
    const children: api.ForkChild[] = [];
    for (let after: number | null = -1; after !== null; ) {
      const path: string = `/v1/forks/${forkId}/children?limit=1000&after=${after}`;
      const { body }: Reply<{ children: api.ForkChild[]; next_after: number | null }> = this.#expect(200, await this.call("GET", path));
      children.push(...body.children);
      after = body.next_after;
    }
    return children;
  }

  /** `heartbeatAt`: when the node that spoke longest ago said so, Unix ms by its clock. */
  async pool(): Promise<{ free: number; target: number; heartbeatAt: number }> {
    type Nodes = { nodes: { pool: { free: number; target: number }; last_heartbeat_at: string }[] };
    const { body } = this.#expect(200, await this.call<Nodes>("GET", "/v1/nodes"));
    return body.nodes.reduce(
      (sum, { pool, last_heartbeat_at: at }) => ({
        free: sum.free + pool.free,
        target: sum.target + pool.target,
        heartbeatAt: Math.min(sum.heartbeatAt, Date.parse(at)),
      }),
      { free: 0, target: 0, heartbeatAt: Number.POSITIVE_INFINITY },
    );
  }

  async close(): Promise<void> {
    await this.#pool.close();
  }

  #expect<T>(status: number, reply: Reply<T>): Reply<T> {
    if (reply.status !== status) throw new Error(`expected ${status}, got ${reply.status}: ${JSON.stringify(reply.body)}`);
    return reply;
  }
}
