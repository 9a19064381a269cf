import { expect, it } from "vitest";
import { canonicalRanges } from "./ranges.ts";
import { parseResolvers } from "./resolvers.ts";
import { renderRuleset } from "./ruleset.ts";
import { AddressAllocator, formatAddress, parseAddress, parseSubnet } from "./subnet.ts";

it("reads a subnet from any address in it", () => {
  expect(parseSubnet("10.207.3.9/16")).toMatchObject({ cidr: "10.207.0.0/16", gateway: "10.207.0.1", size: 65_536 });
  expect(parseSubnet("203.0.113.200/29")).toMatchObject({ cidr: "203.0.113.200/29", gateway: "203.0.113.201" });
});

it.each(["10.0.0.0", "10.0.0.0/33", "10.0.0.256/24", "10.0.0/24", "::1/64", "10.0.0.0/30"])("refuses the subnet %s", (cidr) => {
  expect(() => parseSubnet(cidr)).toThrow(expect.objectContaining({ code: "request.invalid" }));
});

it("reads and writes addresses alike", () => {
  for (const address of ["0.0.0.0", "10.207.0.1", "255.255.255.255", "192.0.2.77"])
    expect(formatAddress(parseAddress(address) ?? -1)).toBe(address);
});

it("gives every address to one slot at a time, and none of the network's own", () => {
  const addresses = new AddressAllocator(parseSubnet("10.1.0.0/28"));
  const taken = Array.from({ length: 13 }, () => addresses.take());
  expect(new Set(taken).size).toBe(13);
  for (const reserved of ["10.1.0.0", "10.1.0.1", "10.1.0.15"]) expect(taken).not.toContain(reserved);
  expect(() => addresses.take()).toThrow(expect.objectContaining({ code: "node.no_slot" }));
  addresses.release("10.1.0.7");
  expect(addresses.take()).toBe("10.1.0.7");
});

it("takes the address that was free for longest, and never an adopted one", () => {
  const addresses = new AddressAllocator(parseSubnet("10.1.0.0/24"));
  addresses.adopt("10.1.0.3");
  const first = addresses.take();
  addresses.release(first);
  expect([first, addresses.take(), addresses.take()]).toEqual(["10.1.0.2", "10.1.0.4", "10.1.0.5"]);
});

it("brings ranges into a form that the kernel's sets accept", () => {
  expect(canonicalRanges(["8.8.8.8", "8.8.8.8/32", "1.2.3.99/24", "1.2.3.4", "1.2.0.0/16"])).toEqual(["8.8.8.8", "1.2.0.0/16"]);
  expect(canonicalRanges(["0.0.0.0/0", "9.9.9.9"])).toEqual(["0.0.0.0/0"]);
});

it("takes a host's resolvers, but not its loopback stub nor IPv6", () => {
  expect(
    parseResolvers("# made by hand\nnameserver 127.0.0.53\nsearch x\nnameserver 9.9.9.9\nnameserver fd00::1\nnameserver 1.1.1.1 # fast"),
  ).toEqual(["9.9.9.9", "1.1.1.1"]);
});

it("checks the list of a sandbox before anything lets it out", () => {
  const text = renderRuleset({
    table: "t",
    bridge: "b",
    subnet: "10.9.0.0/16",
    resolvers: ["10.0.0.53"],
    allow: new Map([["10.9.0.2", ["1.2.3.0/24"]]]),
  });
  const [listed, resolvers, closed] = ["@listed", "daddr @resolvers", "daddr @closed"].map((part) => text.indexOf(part));
  expect([listed, resolvers, closed].every((at) => at !== undefined && at > 0)).toBe(true);
  expect([listed, resolvers, closed]).toEqual([listed, resolvers, closed].toSorted((a, b) => (a ?? 0) - (b ?? 0)));
  expect(text).toContain("elements = { 10.9.0.2 . 1.2.3.0/24 };");
});
