import { fault } from "@banyan/contracts";
import { assert } from "@banyan/kernel";

export interface Subnet {
  cidr: string;
  prefix: number;
  /** First address of the range, as a number. */
  base: number;
  size: number;
  /** The node's own address in it: the sandboxes' way out. */
  gateway: string;
}

const PREFIX_MIN = 8;
const PREFIX_MAX = 29;

export function parseSubnet(cidr: string): Subnet {
  const [address, prefixText] = cidr.split("/");
  const prefix = Number(prefixText);
  const value = address === undefined ? null : parseAddress(address);
  if (value === null || !Number.isInteger(prefix) || prefix < PREFIX_MIN || prefix > PREFIX_MAX) {
    throw fault("request.invalid", { cidr }, { message: `not an IPv4 range with a prefix of ${PREFIX_MIN} to ${PREFIX_MAX}: ${cidr}` });
  }
  const size = 2 ** (32 - prefix);
  const base = value - (value % size);
  return { cidr: `${formatAddress(base)}/${prefix}`, prefix, base, size, gateway: formatAddress(base + 1) };
}

export function parseAddress(text: string): number | null {
  const parts = text.split(".").map((part) => (/^\d{1,3}$/.test(part) ? Number(part) : Number.NaN));
  if (parts.length !== 4 || parts.some((part) => !(part <= 255))) return null;
  return parts.reduce((value, part) => value * 256 + part, 0);
}

export function formatAddress(value: number): string {
  return [value / 2 ** 24, value / 2 ** 16, value / 2 ** 8, value].map((part) => Math.floor(part) % 256).join(".");
}

/** Hands out the addresses of a subnet, each to one slot at a time, the longest unused first. */
export class AddressAllocator {
  readonly #subnet: Subnet;
  readonly #taken = new Set<string>();
  #next = 2;

  constructor(subnet: Subnet) {
    this.#subnet = subnet;
  }

  take(): string {
    // Network, gateway and broadcast are not for slots.
    const candidatesMax = this.#subnet.size - 3;
    for (let i = 0; i < candidatesMax; i++) {
      const address = formatAddress(this.#subnet.base + this.#next);
      this.#next = this.#next + 1 < this.#subnet.size - 1 ? this.#next + 1 : 2;
      if (!this.#taken.has(address)) {
        this.#taken.add(address);
        return address;
      }
    }
    throw fault("node.no_slot", { subnet: this.#subnet.cidr }, { message: "every address of the node's subnet is in use" });
  }

  /** Marks the address of an adopted slot as taken. */
  adopt(address: string): void {
    this.#taken.add(address);
  }

  release(address: string): void {
    assert(this.#taken.delete(address), `address ${address} was not taken`);
  }
}
