import { Readable } from "node:stream";
import { type Bus, type BusRole, connectBus, permissionsConfig } from "@banyan/bus";
import {
  CheckLayer,
  ForkChildrenFinished,
  ForkEnded,
  ListLayerUsers,
  ListNodes,
  ListVolumeUsers,
  NodeDelete,
  RunFork,
  SandboxDied,
  VolumeChanged,
} from "@banyan/contracts";
import { newId, silentLogger } from "@banyan/kernel";
import { startNats, type TestNats } from "@banyan/testkit";
import { jetstream } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const ROLES: Record<string, BusRole> = {
  gateway: { kind: "gateway" },
  scheduler: { kind: "scheduler" },
  builder: { kind: "image-builder" },
  volumes: { kind: "volume-manager" },
  "node-a": { kind: "node", nodeId: "a" },
  "node-b": { kind: "node", nodeId: "b" },
  publisher: { kind: "publisher" },
};
const users = Object.entries(ROLES).map(([user, role]) => ({ user, password: `secret of ${user}`, role }));

let nats: TestNats;
let scheduler: Bus;
let node: Bus;
const buses: Bus[] = [];

const as = async (user: string): Promise<Bus> => {
  const bus = await connectBus({ servers: nats.url, name: user, user, password: `secret of ${user}`, logger: silentLogger });
  buses.push(bus);
  return bus;
};

beforeAll(async () => {
  nats = await startNats({ config: permissionsConfig(users) });
  scheduler = await as("scheduler");
  node = await as("node-a");
});
afterAll(async () => {
  await Promise.all(buses.map((bus) => bus.close()));
  await nats.stop();
});

const order = () => ({ sandboxId: newId("sbx"), epoch: 1 });
const died = () => ({ sandboxId: newId("sbx"), nodeId: "a", epoch: 1, reason: "oom", at: 0 });

it("lets the gateway call the scheduler, and the scheduler a node", async () => {
  scheduler.serve(ListNodes, async () => ({ nodes: [] }));
  node.serve(NodeDelete.on("a"), async () => ({}));
  await Promise.all([scheduler.flush(), node.flush()]);
  const gateway = await as("gateway");
  expect(await gateway.call(ListNodes, {})).toEqual({ nodes: [] });
  expect(await scheduler.call(NodeDelete.on("a"), order())).toEqual({});
});

it("lets the image-builder ask the scheduler who uses a layer", async () => {
  scheduler.serve(ListLayerUsers, async () => ({ sandboxIds: [], count: 0, usedDigests: [] }));
  await scheduler.flush();
  const builder = await as("builder");
  expect(await builder.call(ListLayerUsers, { imageId: null, digests: [] })).toMatchObject({ count: 0 });
});

it("lets the volume-manager ask the scheduler who uses a volume, and say that one changed", async () => {
  scheduler.serve(ListVolumeUsers, async () => ({ users: [], forks: 0, total: 0 }));
  await scheduler.flush();
  const volumes = await as("volumes");
  const volumeId = newId("vol");
  expect(await volumes.call(ListVolumeUsers, { volumeId, versionId: null })).toMatchObject({ total: 0 });
  const heard = Promise.withResolvers<string>();
  const events = scheduler.onEvents(VolumeChanged, { durable: "test-volumes" }, async (event) => heard.resolve(event.volumeId));
  const change = { volumeId, orgId: newId("org"), versionId: null, from: null, to: "creating", reason: null, at: 0 };
  await volumes.emit(VolumeChanged, volumeId, change);
  expect(await heard.promise).toBe(volumeId);
  await events.stop();
});

it("does not let a node call the scheduler or another node", async () => {
  const forbidden = { code: "internal", message: "This service may not call that subject." };
  await expect(node.call(ListNodes, {})).rejects.toMatchObject(forbidden);
  await expect(node.call(NodeDelete.on("b"), order())).rejects.toMatchObject(forbidden);
});

it("does not let a node serve for another, or for the scheduler", async () => {
  const other = await as("node-b");
  other.serve(NodeDelete.on("c"), async () => ({}));
  other.serve(ListNodes, async () => ({ nodes: [] }));
  await other.flush();
  await expect(scheduler.call(NodeDelete.on("c"), order())).rejects.toMatchObject({ code: "bus.unavailable" });
});

it("does not let a node hear answers that are not its own", async () => {
  const eavesdropper = await connect({
    servers: `127.0.0.1:${nats.port}`,
    user: "node-a",
    pass: "secret of node-a",
    inboxPrefix: "_INBOX_node-a",
  });
  const refused = Promise.withResolvers<Error>();
  eavesdropper.subscribe("_INBOX_scheduler.>", { callback: (error) => void (error && refused.resolve(error)) });
  expect((await refused.promise).message).toMatch(/Permissions Violation/);
  await eavesdropper.close();
});

it("lets a node write its own heartbeat, and nobody else's", async () => {
  const bucket = scheduler.kv("nodes", { ttlMs: 10_000 });
  await bucket.keys();
  await node.kv("nodes").put("a", { free: 1 });
  expect(await bucket.get("a")).toEqual({ free: 1 });
  await expect(node.kv("nodes").put("b", { free: 1 })).rejects.toMatchObject({ code: "bus.unavailable" });
});

it("lets a node say that a sandbox died, and nothing else", async () => {
  const heard = Promise.withResolvers<string>();
  const events = scheduler.onEvents(SandboxDied, { durable: "test" }, async (event) => heard.resolve(event.sandboxId));
  await scheduler.emit(SandboxDied, newId("sbx"), died());
  const event = died();
  await node.emit(SandboxDied, event.sandboxId, event);
  await heard.promise;
  await expect(node.emit({ ...SandboxDied, subjectOf: (id) => `evt.sandbox.${id}.changed` }, event.sandboxId, event)).rejects.toMatchObject(
    {
      code: "bus.unavailable",
    },
  );
  await events.stop();
});

it("lets a node say how commands of a fork's children ended, and not that the fork has", async () => {
  const forkId = newId("frk");
  const child = { index: 0, sandboxId: newId("sbx"), epoch: 1, outcome: null, sandbox: "running" as const, at: 0 };
  const heard = Promise.withResolvers<string>();
  const events = scheduler.onEvents(ForkChildrenFinished, { durable: "test-finished" }, async (event) => heard.resolve(event.forkId));
  await node.emit(ForkChildrenFinished, forkId, { forkId, nodeId: "a", children: [child] });
  expect(await heard.promise).toBe(forkId);
  const ended = node.emit({ ...ForkChildrenFinished, subjectOf: ForkEnded.subjectOf }, forkId, { forkId, nodeId: "a", children: [child] });
  await expect(ended).rejects.toMatchObject({ code: "bus.unavailable" });
  await events.stop();
});

it("lets a node read and put blobs, and make no place for them", async () => {
  await expect(node.blobs.put("layers/early", Readable.from([Buffer.from("x")]))).rejects.toMatchObject({ code: "bus.unavailable" });
  await scheduler.blobs.put("layers/a", Readable.from([Buffer.from("layer")]));
  const read = async (bus: Bus, name: string) => Buffer.concat((await (await bus.blobs.get(name))?.toArray()) ?? []).toString();
  expect(await read(node, "layers/a")).toBe("layer");
  await node.blobs.put("layers/b", Readable.from([Buffer.alloc(2_000_000, "b")]));
  expect((await read(scheduler, "layers/b")).length).toBe(2_000_000);
  async function* failing() {
    yield Buffer.alloc(1_000_000);
    throw new Error("the source broke");
  }
  await expect(node.blobs.put("layers/c", Readable.from(failing()))).rejects.toMatchObject({ code: "bus.unavailable" });
  expect(await node.blobs.has("layers/c")).toBe(false);
});

describe("a publisher of forks", () => {
  const ended = () => ({
    forkId: newId("frk"),
    orgId: newId("org"),
    state: "done" as const,
    reason: null,
    counts: { total: 0, waiting: 0, starting: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0, lost: 0 },
    winner: null,
    at: 0,
  });
  const withNats = async (use: (connection: NatsConnection) => Promise<void>): Promise<void> => {
    const connection = await connect({
      servers: `127.0.0.1:${nats.port}`,
      user: "publisher",
      pass: "secret of publisher",
      inboxPrefix: "_INBOX_publisher",
    });
    try {
      await use(connection);
    } finally {
      await connection.close();
    }
  };
  /** What the server answers to a publish that nobody acknowledges. */
  const refusalOf = async (connection: NatsConnection, subject: string): Promise<string> => {
    for await (const status of publishing(connection, subject)) if (status.type === "error") return status.error.message;
    return "the connection ended";
  };
  const publishing = (connection: NatsConnection, subject: string) => {
    const statuses = connection.status();
    connection.publish(subject, "{}");
    return statuses;
  };

  it("publishes one by JetStream and hears how forks go", async () => {
    await scheduler.publishJob(CheckLayer, { digest: `sha256:${"0".repeat(64)}` }, {});
    await withNats(async (connection) => {
      const said = connection.subscribe(ForkEnded.pattern, { max: 1 });
      await connection.flush();
      expect(await jetstream(connection).publish(RunFork.subject, "{}", { msgID: "one" })).toMatchObject({ duplicate: false });
      expect(await jetstream(connection).publish(RunFork.subject, "{}", { msgID: "one" })).toMatchObject({ duplicate: true });
      const event = ended();
      await scheduler.emit(ForkEnded, event.forkId, event);
      for await (const message of said) expect(message.json()).toEqual(event);
      expect(said.getProcessed()).toBe(1);
    });
  });

  it.each([
    CheckLayer.subject,
    ListNodes.subject,
    NodeDelete.on("a").subject,
    ForkEnded.subjectOf("frk_x"),
    "$KV.nodes.a",
    "$O.blobs.C.x",
    "_INBOX_scheduler.x",
    "$JS.API.CONSUMER.CREATE.EVENTS",
    "$JS.API.STREAM.MSG.GET.EVENTS",
    "$JS.API.STREAM.DELETE.JOBS",
  ])("says nothing on %s", (subject) =>
    withNats(async (connection) => expect(await refusalOf(connection, subject)).toMatch(/Permissions Violation for Publish/i)),
  );

  it.each(["evt.sandbox.>", "job.>", "rpc.scheduler.>", "_INBOX_scheduler.>", "$KV.>", ">"])("hears nothing on %s", (subject) =>
    withNats(async (connection) => {
      const refused = Promise.withResolvers<Error>();
      connection.subscribe(subject, { callback: (error) => void (error && refused.resolve(error)) });
      expect((await refused.promise).message).toMatch(/Permissions Violation for Subscription/i);
    }),
  );

  it("does not answer in the place of the stream to whoever says an event", () =>
    withNats(async (connection) => {
      const heard = Promise.withResolvers<string>();
      connection.subscribe(ForkEnded.pattern, { callback: (_, message) => heard.resolve(message.reply ?? "") });
      await connection.flush();
      await scheduler.emit(ForkEnded, newId("frk"), ended());
      const reply = await heard.promise;
      expect(reply).toMatch(/^_INBOX_scheduler/);
      expect(await refusalOf(connection, reply)).toMatch(/Permissions Violation for Publish/i);
    }));
});

it("refuses a wrong password at once, with a clear sentence", async () => {
  const wrong = connectBus({ servers: nats.url, name: "x", user: "gateway", password: "wrong", logger: silentLogger });
  await expect(wrong).rejects.toThrow("NATS refused the credentials");
});
