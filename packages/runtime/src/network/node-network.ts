import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { access, readdir } from "node:fs/promises";
import { fault } from "@banyan/contracts";
import { assert } from "@banyan/kernel";
import { runCommand } from "../host/command.ts";
import type { AttachOperations } from "../slots/attach-helper.ts";
import { canonicalRanges } from "./ranges.ts";
import { renderAllow, renderDisallow, renderRuleset } from "./ruleset.ts";
import { AddressAllocator, parseSubnet, type Subnet } from "./subnet.ts";

export interface NodeNetworkOptions {
  nodeId: string;
  subnet: string;
  resolvers: readonly string[];
  /** Runs the tools: a fork of a large process stands still for all it serves. */
  attach: Pick<AttachOperations, "run">;
}

/** Where a slot's network namespace is plugged in. */
export interface SlotLink {
  address: string;
  link: string;
}

/** Well below what one frame to the helper may hold; only the whole table of a node with many allow-lists is longer. */
const HELPER_INPUT_BYTES_MAX = 32 * 1024;
const LINK_PREFIX = "bny";
/** Linux names of interfaces have at most 15 characters. */
const LINK_NAME_LENGTH = 15;

/**
 * One bridge of ours per node, a veth pair per slot, and one nftables table that holds every rule. Sandboxes reach the internet
 * through NAT and nothing else; the host reaches into a sandbox through its init, never through the bridge.
 */
export class NodeNetwork {
  readonly bridge: string;
  readonly table: string;
  readonly addresses: AddressAllocator;
  readonly resolvers: readonly string[];
  readonly #subnet: Subnet;
  readonly #mac: string;
  readonly #attach: Pick<AttachOperations, "run">;
  readonly #allow = new Map<string, readonly string[]>();
  /** The hash of the table as nft lists it right after loading, to see whether somebody changed it. */
  #loaded = "";
  /** Changes of the table run one after another: each renders or edits the whole of it. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: NodeNetworkOptions) {
    const hash = createHash("sha256").update(options.nodeId).digest("hex");
    this.bridge = LINK_PREFIX + hash.slice(0, 8);
    this.table = `banyan_${hash.slice(0, 8)}`;
    this.resolvers = options.resolvers;
    this.#attach = options.attach;
    this.#subnet = parseSubnet(options.subnet);
    this.addresses = new AddressAllocator(this.#subnet);
    this.#mac = `02:${hash.slice(8, 18).replace(/(..)(?=.)/g, "$1:")}`;
  }

  /** Makes what is missing. `allow` are the lists of sandboxes that run already: their rules are in the first table that is loaded. */
  async open(allow: ReadonlyMap<string, readonly string[]> = new Map()): Promise<void> {
    for (const [address, ranges] of allow) this.#allow.set(address, canonicalRanges(ranges));
    await this.#refuseTakenSubnet();
    await this.#serially(async () => {
      await this.#makeBridge();
      await this.#loadTable();
      await this.#acceptForwarding();
    });
  }

  /** The host end of a slot's pair. A link of ours that was found without its slot has its own name. */
  linkName(slotOrLink: string): string {
    return slotOrLink.startsWith(LINK_PREFIX) ? slotOrLink : LINK_PREFIX + slotOrLink.slice(-(LINK_NAME_LENGTH - LINK_PREFIX.length));
  }

  /** Gives the network namespace of `pid` its eth0. Takes two processes of ip: it belongs to slot making, not to a start. */
  async connect(pid: number, slotId: string, address: string): Promise<SlotLink> {
    const link = this.linkName(slotId);
    await this.#tool(["ip", "-batch", "-"], `link add name ${link} type veth peer name eth0 netns ${pid}\n${this.#plugCommands(link)}`);
    // A /32 and a route by way of the gateway: what is meant for a neighbour is routed too, and meets the rules.
    await this.#tool(
      ["nsenter", "--target", String(pid), "--net", "--", "ip", "-batch", "-"],
      `addr add ${address}/32 dev eth0\nlink set eth0 up\nroute add ${this.#subnet.gateway} dev eth0 scope link\nroute add default via ${this.#subnet.gateway}\n`,
    );
    return { address, link };
  }

  /** Absent is success: the pair vanishes with the slot's namespace. */
  async disconnect(link: string): Promise<void> {
    // Beside the event loop: while links come and go this look waits for them.
    const isThere = await access(`/sys/class/net/${link}`).then(
      () => true,
      () => false,
    );
    if (isThere) await this.#attach.run(["ip", "link", "del", link]);
  }

  /** Narrows an address to these ranges; in force when this resolves. */
  async allow(address: string, cidrs: readonly string[]): Promise<void> {
    assert(!this.#allow.has(address), `address ${address} has a list already`);
    const ranges = canonicalRanges(cidrs);
    await this.#serially(async () => {
      await this.#nft(renderAllow(this.table, address, ranges));
      this.#allow.set(address, ranges);
    });
  }

  async disallow(address: string): Promise<void> {
    await this.#serially(async () => {
      const ranges = this.#allow.get(address);
      if (ranges === undefined) return;
      this.#allow.delete(address);
      // The whole table anew where the one change is refused: nobody may inherit what an address was allowed.
      await this.#nft(renderDisallow(this.table, address, ranges)).catch(() => this.#loadTable());
    });
  }

  /** Puts back what is missing or was changed; how many repairs that took. */
  async reconcile(links: readonly string[]): Promise<number> {
    return this.#serially(async () => {
      let repairs = 0;
      if (!existsSync(`/sys/class/net/${this.bridge}`)) {
        await this.#makeBridge();
        repairs++;
      }
      if ((await this.#listTable()) !== this.#loaded) {
        await this.#loadTable();
        repairs++;
      }
      for (const link of links) repairs += await this.#plugIn(link);
      return repairs + (await this.#acceptForwarding());
    });
  }

  /** The host ends of the pairs on the bridge. */
  async links(): Promise<string[]> {
    return readdir(`/sys/class/net/${this.bridge}/brif`).catch((error: unknown) => {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
      throw error;
    });
  }

  /** Removes everything `open` made. Links of slots that still live lose their bridge. */
  async close(): Promise<void> {
    await this.#serially(async () => {
      for (const rule of this.#forwardRules()) await this.#attach.run(["iptables", "-w", "-D", "FORWARD", ...rule]);
      await this.#nft(`table inet ${this.table} {}\ndelete table inet ${this.table}\n`);
      for (const link of await this.links()) await this.disconnect(link);
      await this.disconnect(this.bridge);
    });
  }

  /** A link that exists but is on no bridge, because the bridge was removed and made again. */
  async #plugIn(link: string): Promise<number> {
    const device = `/sys/class/net/${link}`;
    if (!existsSync(device) || existsSync(`${device}/master`)) return 0;
    await this.#tool(["ip", "-batch", "-"], this.#plugCommands(link));
    return 1;
  }

  async #tool(argv: readonly string[], stdin = ""): Promise<void> {
    const { exitCode, output } = await this.#attach.run(argv, { stdin });
    if (exitCode !== 0) throw fault("internal", { argv, exitCode, output }, { message: `${argv.join(" ")} failed: ${output.trim()}` });
  }

  #plugCommands(link: string): string {
    return `link set ${link} master ${this.bridge} up\nlink set ${link} type bridge_slave isolated on\n`;
  }

  async #refuseTakenSubnet(): Promise<void> {
    const listed = await runCommand("ip", ["-o", "-4", "addr", "show", "to", this.#subnet.cidr]);
    const other = listed.split("\n").find((line) => line !== "" && line.split(/\s+/)[1] !== this.bridge);
    if (other === undefined) return;
    throw fault(
      "internal",
      { subnet: this.#subnet.cidr, link: other.trim() },
      { message: `the subnet ${this.#subnet.cidr} is in use on this host; choose another by BANYAN_NODE_SUBNET` },
    );
  }

  async #makeBridge(): Promise<void> {
    const commands: string[] = [];
    if (!existsSync(`/sys/class/net/${this.bridge}`)) commands.push(`link add name ${this.bridge} address ${this.#mac} type bridge`);
    commands.push(`addr replace ${this.#subnet.gateway}/${this.#subnet.prefix} dev ${this.bridge}`, `link set ${this.bridge} up`);
    await runCommand("ip", ["-batch", "-"], { stdin: `${commands.join("\n")}\n` });
    const noIpv6 = `/proc/sys/net/ipv6/conf/${this.bridge}/disable_ipv6`;
    if (existsSync(noIpv6)) writeFileSync(noIpv6, "1");
    const forward = "/proc/sys/net/ipv4/ip_forward";
    if (readFileSync(forward, "utf8").trim() !== "1") writeFileSync(forward, "1");
  }

  async #loadTable(): Promise<void> {
    await this.#nft(
      renderRuleset({ table: this.table, bridge: this.bridge, subnet: this.#subnet.cidr, resolvers: this.resolvers, allow: this.#allow }),
    );
    this.#loaded = await this.#listTable();
  }

  async #listTable(): Promise<string> {
    // The helper's answer is short, the table is not; what is asked is whether it is the same.
    const { output } = await this.#attach.run(["sh", "-c", `nft -t list table inet ${this.table} | sha256sum`]);
    return output;
  }

  /** Docker sets the policy of FORWARD to DROP; what our own table let through must pass there too. Answers how many rules were missing. */
  async #acceptForwarding(): Promise<number> {
    let added = 0;
    for (const rule of this.#forwardRules()) {
      if ((await this.#attach.run(["iptables", "-w", "-C", "FORWARD", ...rule])).exitCode === 0) continue;
      await this.#tool(["iptables", "-w", "-I", "FORWARD", ...rule]);
      added++;
    }
    return added;
  }

  #forwardRules(): string[][] {
    return [
      ["-i", this.bridge, "-j", "ACCEPT"],
      ["-o", this.bridge, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"],
    ];
  }

  async #nft(script: string): Promise<void> {
    if (Buffer.byteLength(script) <= HELPER_INPUT_BYTES_MAX) await this.#tool(["nft", "-f", "-"], script);
    else await runCommand("nft", ["-f", "-"], { stdin: script });
  }

  #serially<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#last.then(change, change);
    this.#last = result.catch(() => undefined);
    return result;
  }
}
