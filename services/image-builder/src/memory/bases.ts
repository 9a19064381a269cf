import type { Bus } from "@banyan/bus";
import { contextBlob, fault, ImageId, type ImageSpec } from "@banyan/contracts";
import type { Database } from "@banyan/db";
import { type Clock, unseal } from "@banyan/kernel";
import type { BuildEngine } from "../build/build-engine.ts";
import { registryOf } from "../build/registry.ts";
import type { RegistryAuth, ResolvedBase } from "../domain/plan.ts";
import { registryContext } from "../domain/seal-context.ts";
import { findImage } from "../store/find-image.ts";
import { findRegistry } from "../store/find-registry.ts";
import type { Uses } from "./uses.ts";

const PINS_MAX = 10_000;
const NOT_READY_RETRY_MS = 2_000;

export interface BasesOptions {
  bus: Bus;
  db: Database;
  clock: Clock;
  engine: BuildEngine;
  uses: Uses;
  secretKey: string;
  /** Whether registries are asked at all. */
  registry: boolean;
  /** How long a floating tag is taken for what it was. */
  pinMs: number;
}

/** What a base is called, to what it is. */
export class Bases {
  readonly #options: BasesOptions;
  /** By organisation, since what one may pull another may not. */
  readonly #pins = new Map<string, { pinned: Promise<string>; until: number }>();

  constructor(options: BasesOptions) {
    this.#options = options;
  }

  /** An image of the organisation or of all by name or id, a tar that was uploaded, or what a registry has. */
  async resolve(orgId: string, base: ImageSpec["base"]): Promise<ResolvedBase> {
    if (typeof base !== "string") return this.#rootfs(orgId, base.rootfs);
    const image = await findImage(this.#options.db, orgId, base);
    if (image === null && ImageId.safeParse(base).success) throw fault("image.not_found", { image: base });
    if (image === null) return this.#registry(orgId, base);
    if (image.state === "building") throw fault("image.not_ready", { image: base, retryAfterMs: NOT_READY_RETRY_MS });
    if (image.state === "failed") throw fault("image.build_failed", { image: base, reason: image.error });
    this.#options.uses.note(image.id);
    return { reference: base, pinnedTo: image.id, config: image.config, source: { kind: "layers", layers: image.layers } };
  }

  /** Credentials for the registry of this reference. */
  async authFor(orgId: string, reference: string): Promise<RegistryAuth | null> {
    const host = registryOf(reference);
    const registry = await findRegistry(this.#options.db, orgId, host);
    const password = registry && unseal(registry.passwordSealed, this.#options.secretKey, registryContext(orgId, host));
    return registry === null || password === null ? null : { username: registry.username, password };
  }

  /** New credentials may see another thing, or be refused. */
  forgetPins(orgId: string): void {
    for (const key of this.#pins.keys()) if (key.startsWith(`${orgId} `)) this.#pins.delete(key);
  }

  async #rootfs(orgId: string, digest: string): Promise<ResolvedBase> {
    if (!(await this.#options.bus.blobs.has(contextBlob(orgId, digest)))) throw fault("context.not_found", { digest });
    return { reference: digest, pinnedTo: digest, config: null, source: { kind: "rootfs", digest } };
  }

  async #registry(orgId: string, reference: string): Promise<ResolvedBase> {
    if (!this.#options.registry) throw fault("image.not_found", { image: reference });
    const pinned = await this.#pin(orgId, reference);
    return { reference, pinnedTo: pinned, config: null, source: { kind: "registry", reference: pinned } };
  }

  #pin(orgId: string, reference: string): Promise<string> {
    const key = `${orgId} ${reference}`;
    const now = this.#options.clock.now();
    const known = this.#pins.get(key);
    if (known !== undefined && now < known.until) return known.pinned;
    if (this.#pins.size >= PINS_MAX) this.#pins.clear();
    const pinned = this.authFor(orgId, reference).then((auth) => this.#options.engine.resolveRegistry(reference, auth));
    this.#pins.set(key, { pinned, until: now + this.#options.pinMs });
    pinned.catch(() => this.#pins.delete(key));
    return pinned;
  }
}
