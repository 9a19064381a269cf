import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Clock, type Logger, messageOf } from "@banyan/kernel";
import { hostResolvers, renderRuleset, runCommand, tryCommand } from "@banyan/runtime";
import type Docker from "dockerode";
import { asking, engineFault, orNull, saidByEngine, statusOf } from "./engine-fault.ts";

export const BUILD_NETWORK = "banyan-builds";
const BRIDGE_PREFIX = "bybld";
const BRIDGE_OPTION = "com.docker.network.bridge.name";
const GONE = /could not find bridge|network \S+ not found/;
/** Somebody may flush the host's rules at any time; they are looked at again after this. */
const TRUST_MS = 10_000;
const IP_FORWARD = "/proc/sys/net/ipv4/ip_forward";

/** The engine's note of a network may outlive the bridge itself, or the other way round. */
export const isNetworkGone = (error: unknown): boolean => GONE.test(saidByEngine(error));

/**
 * Where steps with an open network are: they reach the internet, and neither this host, nor its networks, nor one another. Where the engine is
 * on this machine the rules are the ones that hold for sandboxes; where it is on another, they are the engine's own.
 */
export class BuildNetwork {
  readonly #docker: Docker;
  readonly #bridge: string;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #ensured: Promise<void> | null = null;
  #ensuredMs = 0;

  /** `engine`: what no other engine of this host has; the ids of engines on one host are the same. */
  constructor(options: { docker: Docker; engine: string; clock: Clock; logger: Logger }) {
    this.#docker = options.docker;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#bridge = BRIDGE_PREFIX + createHash("sha256").update(options.engine).digest("hex").slice(0, 8);
  }

  /** Makes what is missing of it; once, however many ask at once. */
  ensure(): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    if (this.#ensured !== null && nowMs - this.#ensuredMs < TRUST_MS) return this.#ensured;
    this.#ensuredMs = nowMs;
    this.#ensured = asking("make the network of builds", () => this.#make()).catch((error) => {
      this.#ensured = null;
      throw error;
    });
    return this.#ensured;
  }

  /** Made anew. Refused by the engine while other steps are on it, which then is a failure like any other. */
  async remake(): Promise<void> {
    await asking("make the network of builds anew", () => orNull(this.#docker.getNetwork(BUILD_NETWORK).remove()));
    this.#ensured = null;
    await this.ensure();
  }

  /** Keeps containers on the bridge from one another. What is on it already stays apart. */
  isolate(): void {
    const ports = join("/sys/class/net", this.#bridge, "brif");
    if (!existsSync(ports)) return;
    for (const port of readdirSync(ports)) {
      const isolated = join("/sys/class/net", port, "brport/isolated");
      // A port goes with its container, at any time.
      if (existsSync(isolated)) tryWrite(isolated, "1");
    }
  }

  /** Takes it away, and what was changed of the host for it, unless somebody still is on it. The next build makes it again. */
  async close(): Promise<void> {
    this.#ensured = null;
    try {
      await orNull(this.#docker.getNetwork(BUILD_NETWORK).remove());
    } catch (error) {
      // 403: another builder's step is on it.
      if (statusOf(error) === 403) return;
      throw engineFault("remove the network of builds", error);
    }
    for (const rule of this.#forwardRules()) await tryCommand("iptables", ["-w", "-D", "FORWARD", ...rule]);
    await tryCommand("nft", ["delete", "table", "inet", this.#table]);
  }

  async #make(): Promise<void> {
    const network = this.#docker.getNetwork(BUILD_NETWORK);
    const found = await orNull(network.inspect());
    // One of another bridge is not the one that the rules protect.
    if (found !== null && found.Options?.[BRIDGE_OPTION] !== this.#bridge) await network.remove();
    if (found?.Options?.[BRIDGE_OPTION] !== this.#bridge) await this.#create();
    const { IPAM } = await network.inspect();
    const subnet = IPAM?.Config?.[0]?.Subnet;
    if (subnet !== undefined && existsSync(join("/sys/class/net", this.#bridge))) await this.#protect(subnet);
  }

  async #create(): Promise<void> {
    try {
      await this.#docker.createNetwork({
        Name: BUILD_NETWORK,
        Driver: "bridge",
        CheckDuplicate: true,
        Options: { [BRIDGE_OPTION]: this.#bridge, "com.docker.network.bridge.enable_icc": "false" },
      });
    } catch (error) {
      // Another builder was first.
      if (statusOf(error) !== 409) throw error;
    }
  }

  /** The engine may have been told to leave the host's rules alone: these are complete without its own. */
  async #protect(subnet: string): Promise<void> {
    const rules = renderRuleset({ table: this.#table, bridge: this.#bridge, subnet, resolvers: hostResolvers(), allow: new Map() });
    await runCommand("nft", ["-f", "-"], { stdin: rules });
    if (readFileSync(IP_FORWARD, "utf8").trim() !== "1") writeFileSync(IP_FORWARD, "1");
    for (const rule of this.#forwardRules()) {
      const isThere = (await tryCommand("iptables", ["-w", "-C", "FORWARD", ...rule])).exitCode === 0;
      if (!isThere) await runCommand("iptables", ["-w", "-I", "FORWARD", ...rule]);
    }
    this.#logger.debug({ subnet, table: this.#table }, "the network of builds is closed towards this host");
  }

  get #table(): string {
    return `banyan_${this.#bridge}`;
  }

  #forwardRules(): string[][] {
    return [
      ["-i", this.#bridge, "-j", "ACCEPT"],
      ["-o", this.#bridge, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"],
    ];
  }
}

function tryWrite(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    if (!/ENOENT|ENODEV|EINVAL/.test(messageOf(error))) throw error;
  }
}
