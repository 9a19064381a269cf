import { readFileSync } from "node:fs";
import { parseAddress } from "./subnet.ts";

/** Where a host keeps its resolvers: systemd's list of the real ones first, for /etc/resolv.conf may name only its local stub. */
const RESOLVER_FILES = ["/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"];
/** More than this the C library of a sandbox does not read. */
const RESOLVERS_MAX = 3;

export function parseResolvers(text: string): string[] {
  const found = text.split("\n").flatMap((line) => {
    const [keyword, address] = line.trim().split(/\s+/);
    return keyword === "nameserver" && address !== undefined && parseAddress(address) !== null ? [address] : [];
  });
  // A loopback address is the host's own stub; inside a sandbox it would be the sandbox.
  return found.filter((address) => !address.startsWith("127.")).slice(0, RESOLVERS_MAX);
}

/** The IPv4 resolvers this host uses. Empty when it has none but a local stub. */
export function hostResolvers(files: readonly string[] = RESOLVER_FILES): string[] {
  for (const file of files) {
    let text: string;
    try {
      text = readFileSync(file, "utf8");
    } catch {
      continue;
    }
    const resolvers = parseResolvers(text);
    if (resolvers.length > 0) return resolvers;
  }
  return [];
}
