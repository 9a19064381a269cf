import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";
import { afterAll, beforeAll, expect, it } from "vitest";
import { BuildHarness } from "./build-harness.ts";

let harness: BuildHarness;
let server: Server;
beforeAll(async () => {
  harness = await BuildHarness.open();
  server = createServer((_request, response) => response.end("reached")).listen(0, "0.0.0.0");
  await once(server, "listening");
});
afterAll(async () => {
  server?.close();
  await harness?.close();
});

/** The address of this host that the rest of its network knows. */
function hostAddress(): string {
  const outside = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  return outside.find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? "";
}

const tryAll = (urls: string[]) => urls.map((url) => `if curl -s -m 3 ${url}; then echo reached ${url}; exit 1; fi`).join("\n");

it("keeps a step with an open network from this host, by whichever address", async () => {
  const { port } = server.address() as AddressInfo;
  const gateway = "$(sed -n 's/^[^ \\t]*\\t00000000\\t\\(..\\)\\(..\\)\\(..\\)\\(..\\).*/0x\\4.0x\\3.0x\\2.0x\\1/p' /proc/net/route)";
  const urls = [`http://${hostAddress()}:${port}/`, `http://${gateway}:${port}/`, `http://127.0.0.1:${port}/`, "http://169.254.169.254/"];
  const { result } = await harness.build({ commands: [tryAll(urls)] });
  expect(result.layers.length).toBeGreaterThan(0);
});

it("keeps the steps of two builds from one another", async () => {
  const listen = "hostname -i > /dev/stderr; echo serving; python3 -m http.server 8080 > /dev/null 2>&1";
  const enough = new AbortController();
  const served = harness.build(
    { commands: [listen] },
    {
      signal: enough.signal,
      onSaid(said) {
        if (said.kind === "log" && said.stream === "stderr") found.resolve(said.text.trim());
      },
    },
  );
  const found = Promise.withResolvers<string>();
  const address = await found.promise;
  const ended = served.then(() => "by itself").catch(() => "when it was told to");
  await harness.build({ commands: [`sleep 2; ${tryAll([`http://${address}:8080/`])}`] });
  enough.abort(new Error("seen enough"));
  expect(await ended).toBe("when it was told to");
});
