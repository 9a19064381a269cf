import type { Clock } from "@banyan/kernel";
import type Docker from "dockerode";
import { LABEL_NODE, LABEL_SLOT } from "./docker-labels.ts";

const RECONNECT_MS = 1_000;

interface DockerEvent {
  Actor?: { Attributes?: Record<string, string> };
}

/** Docker's own word that a container of this node ended. A hint for speed: while the stream is down, the node's own watch finds out. */
export class DockerDeaths {
  readonly #docker: Docker;
  readonly #nodeId: string;
  readonly #clock: Clock;

  constructor(docker: Docker, nodeId: string, clock: Clock) {
    this.#docker = docker;
    this.#nodeId = nodeId;
    this.#clock = clock;
  }

  subscribe(report: (slotId: string) => void): () => void {
    const stop = new AbortController();
    void this.#follow(report, stop.signal);
    return () => stop.abort();
  }

  async #follow(report: (slotId: string) => void, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#followOnce(report, signal).catch(() => undefined);
      if (!signal.aborted) await this.#clock.sleep(RECONNECT_MS, signal).catch(() => undefined);
    }
  }

  async #followOnce(report: (slotId: string) => void, signal: AbortSignal): Promise<void> {
    const stream = await this.#docker.getEvents({
      filters: { type: ["container"], event: ["die"], label: [`${LABEL_NODE}=${this.#nodeId}`] },
    });
    const end = () => (stream as NodeJS.ReadableStream & { destroy(): void }).destroy();
    if (signal.aborted) return end();
    signal.addEventListener("abort", end, { once: true });
    let rest = "";
    try {
      for await (const chunk of stream) {
        const lines = (rest + String(chunk)).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) {
          const slotId = (JSON.parse(line) as DockerEvent).Actor?.Attributes?.[LABEL_SLOT];
          if (slotId !== undefined) report(slotId);
        }
      }
    } finally {
      signal.removeEventListener("abort", end);
    }
  }
}
