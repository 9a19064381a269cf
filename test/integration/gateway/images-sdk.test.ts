import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { contextBlob } from "@banyan/contracts";
import { Banyan, type BuildEvent, Image } from "@banyan/sdk";
import { eventually } from "@banyan/testkit";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { BOOTSTRAP_KEY, type Cluster, startCluster } from "./cluster.ts";

let cluster: Cluster;
let banyan: Banyan;
let files: string;
beforeAll(async () => {
  cluster = await startCluster();
  banyan = new Banyan({ url: cluster.url, apiKey: BOOTSTRAP_KEY });
  files = await mkdtemp(join(tmpdir(), "banyan-sdk-images-"));
});
afterAll(async () => {
  await cluster.stop();
  await rm(files, { recursive: true });
});
afterEach(() => Object.assign(cluster.builder, { held: false, failure: null, away: false, config: {} }));

let nr = 0;
const fresh = () => Image.base().run(`echo ${++nr}`);

it("builds, hears of it, and finds it built", async () => {
  cluster.builder.held = true;
  const events: BuildEvent[] = [];
  const building = banyan.images.build(fresh(), { name: "sdk/app", onEvent: (event) => events.push(event) });
  await eventually(async () => expect(events).toHaveLength(1));
  cluster.builder.say(cluster.builder.last(), { kind: "log", step: 0, stream: "stderr", text: "a line" });
  cluster.builder.finish(cluster.builder.last());
  const { image, build } = await building;
  expect(image).toMatchObject({ state: "ready", names: ["sdk/app:latest"], kind: "build" });
  expect(events.map(({ seq, event }) => [seq, event])).toEqual([
    [1, "state"],
    [2, "log"],
    [3, "state"],
  ]);
  expect((await banyan.images.get("sdk/app")).id).toBe(image.id);
  expect((await banyan.builds.get(build.id)).build.state).toBe("ready");
  const past: number[] = [];
  for await (const event of banyan.builds.events(build.id, { follow: false })) past.push(event.seq);
  for await (const event of banyan.builds.events(build.id, { after: 2 })) past.push(event.seq);
  expect(past).toEqual([1, 2, 3, 3]);
});

it("uploads a directory once, and not again while it is the same", async () => {
  const directory = join(files, "tree");
  await mkdir(directory);
  await writeFile(join(directory, "a.txt"), "a");
  const image = Image.base().copy(directory, "/app", { ignore: ["*.log"] });
  await banyan.images.build(image);
  const sent = cluster.builder.requests.at(-1);
  const [step] = sent?.spec.steps ?? [];
  const digest = step !== undefined && "copy" in step ? step.copy.context : expect.fail("no copy step");
  expect(await cluster.bus.blobs.has(contextBlob(sent?.orgId ?? "", digest))).toBe(true);
  await writeFile(join(directory, "b.log"), "not sent");
  expect((await banyan.images.build(image)).build.cached).toBe(true);
  await writeFile(join(directory, "a.txt"), "changed");
  expect((await banyan.images.build(image)).build.cached).toBe(false);
});

it("makes a sandbox of what it is told, and throws why it could not", async () => {
  const events: BuildEvent[] = [];
  cluster.builder.config = { resources: { memoryMb: 256 } };
  cluster.builder.held = true;
  const creating = banyan.sandboxes.create({ image: fresh(), labels: { from: "spec" }, onEvent: (event) => events.push(event) });
  await eventually(async () => expect(events.length).toBeGreaterThan(0));
  cluster.builder.finish(cluster.builder.last());
  const sandbox = await creating;
  expect(sandbox.info).toMatchObject({ state: "running", labels: { from: "spec" }, limits: { memoryMb: 256 } });
  cluster.builder.held = false;
  cluster.builder.failure = { code: "build.step_failed", message: "It failed.", fix: "Mend it.", step: 2, exitCode: 9, lastLines: ["x"] };
  await expect(banyan.sandboxes.create({ image: { commands: [`false ${++nr}`] } })).rejects.toMatchObject({
    code: "build.step_failed",
    fix: "Mend it.",
    details: { step: 2, exit_code: 9, last_lines: ["x"] },
  });
});

it("goes on after a lost connection, with no event told twice", async () => {
  cluster.builder.held = true;
  const proxy = await proxyTo(cluster.url);
  const events: number[] = [];
  const image = fresh();
  const building = new Banyan({ url: proxy.url, apiKey: BOOTSTRAP_KEY }).images.build(image, { onEvent: ({ seq }) => events.push(seq) });
  await eventually(async () => expect(events).toEqual([1]));
  proxy.cut();
  cluster.builder.say(cluster.builder.last(), { kind: "log", step: 0, stream: "stdout", text: "meanwhile" });
  await eventually(async () => expect(events).toEqual([1, 2]));
  cluster.builder.finish(cluster.builder.last());
  expect((await building).image.state).toBe("ready");
  expect(events).toEqual([1, 2, 3]);
  proxy.close();
});

it("ends with its caller's signal, and the build goes on", async () => {
  cluster.builder.held = true;
  const leaving = new AbortController();
  const building = banyan.images.build(fresh(), { signal: leaving.signal, onEvent: () => leaving.abort() });
  await expect(building).rejects.toThrow(/abort/i);
  expect(cluster.builder.last().build.state).toBe("building");
});

it("plans, cancels, names, and keeps credentials", async () => {
  expect(await banyan.images.plan(fresh())).toMatchObject({ cached: false, estimatedMs: 12, warmSlots: expect.any(Number) });
  cluster.builder.held = true;
  const { build, image } = await banyan.images.request(fresh(), { secrets: { NPM_TOKEN: "x" } });
  expect(build.state).toBe("building");
  expect(cluster.builder.requests.at(-1)?.secrets, "names of secrets are the user's own").toEqual({ NPM_TOKEN: "x" });
  expect((await banyan.builds.cancel(build.id)).state).toBe("cancelled");
  expect((await banyan.images.name(image.id, "sdk/named:1")).names).toEqual(["sdk/named:1"]);
  await banyan.images.unname(image.id, "sdk/named:1");
  await banyan.images.delete(image.id);
  await expect(banyan.images.get(image.id)).rejects.toMatchObject({ code: "image.not_found", status: 404 });
  await banyan.registries.save("registry.example", { username: "ci", password: "p" });
  expect((await banyan.registries.list()).map(({ host, username }) => [host, username])).toEqual([["registry.example", "ci"]]);
  await banyan.registries.delete("registry.example");
  expect(await banyan.registries.list()).toEqual([]);
});

/** Passes everything on, until its connections are cut. */
async function proxyTo(target: string): Promise<{ url: string; cut(): void; close(): void }> {
  const server: Server = createServer((incoming: IncomingMessage, outgoing) => {
    const { method, url, headers } = incoming;
    const onward = request(`${target}${url}`, { method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 0, answer.headers);
      outgoing.flushHeaders();
      answer.pipe(outgoing);
    });
    onward.on("error", () => outgoing.destroy());
    outgoing.on("close", () => onward.destroy());
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const cut = () => server.closeAllConnections();
  return { url, cut, close: () => void server.close(cut) };
}
