import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { networkInterfaces } from "node:os";
import type { NetworkPolicy, StartOrder } from "@banyan/contracts";
import { stopSandbox } from "@banyan/runner-agent";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { HOST_ON_INTERNET, INTERNET, INTERNET_TOO, METADATA, openOutsideWorld, PORT, PRIVATE } from "./outside-world.ts";
import { start, stopOf, type TestNode, testNode } from "./test-node.ts";

let node: TestNode;
let world: Awaited<ReturnType<typeof openOutsideWorld>>;
let hostServer: Server;
let open: StartOrder;

beforeAll(async () => {
  world = await openOutsideWorld();
  hostServer = createServer((socket) => socket.end("host\n")).listen(0, "0.0.0.0");
  await once(hostServer, "listening");
  node = await testNode({ pool: { target: 3, parallel: 2, perS: 50, slotsMax: 50, quietMs: 0 } });
  open = await sandbox({ egress: "open", allow: [] });
});
afterAll(async () => {
  // Also when the set-up failed half-way.
  await node?.end();
  hostServer?.close();
  await world?.close();
});

async function sandbox(network: NetworkPolicy): Promise<StartOrder> {
  const order = node.order({ network });
  await start(node, order);
  return order;
}

/** What a TCP connection from inside gets: the greeting, or why not. */
async function reach(from: StartOrder, host: string, port = PORT): Promise<string> {
  const { out, err } = await node.sh(from, `timeout 4 bash -c 'cat < /dev/tcp/${host}/${port}' 2>&1 || echo "no ($?)"`);
  return (out + err).trim();
}

const addressOf = (order: StartOrder) => node.parts.registry.get(order.sandboxId)?.run?.slot.address ?? "";

it("reaches the internet when egress is open", async () => {
  expect(await reach(open, INTERNET)).toBe("hello");
});

it("reaches neither private networks nor the metadata address", async () => {
  expect(await reach(open, PRIVATE)).toMatch(/no \(/);
  expect(await reach(open, METADATA)).toMatch(/no \(/);
});

it("reaches no port of its host, by none of the host's addresses", async () => {
  const { port } = hostServer.address() as AddressInfo;
  const own = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  const addresses = own.filter(({ family, internal }) => family === "IPv4" && !internal).map(({ address }) => address);
  expect(addresses).toContain(HOST_ON_INTERNET);
  for (const address of addresses) expect(await reach(open, address, port), address).toMatch(/no \(/);
});

it("reaches no other sandbox, nor does the host over the bridge", async () => {
  const neighbour = await sandbox({ egress: "open", allow: [] });
  const listen = `perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(LocalPort => 7777, Listen => 5, ReuseAddr => 1) or die; while (my $c = $s->accept) { print $c "neighbour\\n"; close $c }'`;
  await node.sh(neighbour, `${listen} > /dev/null 2>&1 &`);
  await eventually(async () => expect(await reach(neighbour, "127.0.0.1", 7_777)).toBe("neighbour"));
  expect(await reach(neighbour, addressOf(neighbour), 7_777)).toBe("neighbour");
  expect(await reach(open, addressOf(neighbour), 7_777)).toMatch(/no \(/);
  const fromHost = execFileSync("bash", ["-c", `timeout 2 bash -c 'cat < /dev/tcp/${addressOf(neighbour)}/7777' 2>&1 || echo no`], {
    encoding: "utf8",
  });
  expect(fromHost).toContain("no");
});

it("reaches nothing when egress is closed", async () => {
  const order = await sandbox({ egress: "closed", allow: [] });
  expect(await reach(order, INTERNET)).toMatch(/unreachable[\s\S]*no \(/i);
  expect((await node.sh(order, "cat /sys/class/net/eth0/operstate")).out.trim()).toBe("down");
});

it("reaches what is on its list and nothing else, and the list ends with its run", async () => {
  const order = await sandbox({ egress: "allow", allow: [`${INTERNET}/32`, PRIVATE, INTERNET] });
  expect(await reach(order, INTERNET)).toBe("hello");
  expect(await reach(order, INTERNET_TOO)).toMatch(/no \(/);
  // No list opens a private network.
  expect(await reach(order, PRIVATE)).toMatch(/no \(/);
  const sets = () => execFileSync("nft", ["list", "table", "inet", node.parts.network.table], { encoding: "utf8" });
  expect(sets()).toContain(`${addressOf(order)} . ${INTERNET}`);
  const address = addressOf(order);
  await stopSandbox(node.parts, stopOf(order));
  expect(sets()).not.toContain(address);
});

it("puts back rules that somebody removed", async () => {
  const { table, bridge } = node.parts.network;
  const listed = await sandbox({ egress: "allow", allow: [INTERNET] });
  execFileSync("nft", ["delete", "table", "inet", table]);
  execFileSync("iptables", ["-D", "FORWARD", "-i", bridge, "-j", "ACCEPT"]);
  expect(await reach(open, PRIVATE)).not.toBe("hello");
  expect((await node.reconcile()).network).toBe(2);
  expect((await node.reconcile()).network).toBe(0);
  expect(await reach(open, INTERNET)).toBe("hello");
  expect(await reach(open, PRIVATE)).toMatch(/no \(/);
  expect(await reach(listed, INTERNET_TOO)).toMatch(/no \(/);
});
