import type { Bus } from "@banyan/bus";
import { ResolveImage } from "@banyan/contracts";
import type { Clock } from "@banyan/kernel";
import type { Stack } from "../domain/sandbox.ts";

/** Long enough that a burst asks once, short enough that a new image of the name is seen at once by a person's measure. */
const KEPT_MS = 3_000;
const NAMES_MAX = 1_000;

interface Kept {
  stack: Promise<Stack>;
  untilMs: number;
}

/** Images by name as an organisation sees them, remembered for a moment. What was not found is asked again every time. */
export class Images {
  readonly #kept = new Map<string, Kept>();
  readonly #bus: Bus;
  readonly #clock: Clock;

  constructor(bus: Bus, clock: Clock) {
    this.#bus = bus;
    this.#clock = clock;
  }

  resolve(orgId: string, name: string): Promise<Stack> {
    const key = `${orgId}/${name}`;
    const kept = this.#kept.get(key);
    if (kept !== undefined && kept.untilMs > this.#clock.monotonicMs()) return kept.stack;
    const stack = this.#ask(orgId, name);
    if (this.#kept.size >= NAMES_MAX) this.#kept.clear();
    this.#kept.set(key, { stack, untilMs: this.#clock.monotonicMs() + KEPT_MS });
    stack.catch(() => this.#kept.delete(key));
    return stack;
  }

  async #ask(orgId: string, name: string): Promise<Stack> {
    const { image } = await this.#bus.call(ResolveImage, { orgId, name }, { retry: true });
    return { imageId: image.id, layers: image.layers, config: image.config };
  }
}
