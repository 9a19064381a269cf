import type { Random } from "./random.ts";
import type { Timeline } from "./timeline.ts";

/** How bad the network is. Shares are of single messages. */
export interface Weather {
  dropped: number;
  doubled: number;
  delayMsMax: number;
}

/** Between the scheduler and the nodes: messages are lost, doubled, delayed and overtake each other; a node may be cut off for a while. */
export class Network {
  readonly #timeline: Timeline;
  readonly #random: Random;
  readonly #cut = new Set<string>();
  weather: Weather;

  constructor(timeline: Timeline, random: Random, weather: Weather) {
    this.#timeline = timeline;
    this.#random = random;
    this.weather = weather;
  }

  cut(nodeId: string): void {
    this.#cut.add(nodeId);
  }

  heal(nodeId: string): void {
    this.#cut.delete(nodeId);
  }

  isCut(nodeId: string): boolean {
    return this.#cut.has(nodeId);
  }

  /** One message from or to the node: it arrives never, once or twice. */
  carry(nodeId: string, arrive: () => void): void {
    const { dropped, doubled } = this.weather;
    if (this.#cut.has(nodeId) || this.#random.chance(dropped)) return;
    this.#later(arrive);
    if (this.#random.chance(doubled)) this.#later(arrive);
  }

  /** What a stream has stored: it arrives, later and perhaps more than once. */
  deliver(arrive: () => void): void {
    this.#later(arrive);
    if (this.#random.chance(this.weather.doubled)) this.#later(arrive);
  }

  #later(arrive: () => void): void {
    this.#timeline.after(1 + this.#random.next() * this.weather.delayMsMax, arrive);
  }
}
