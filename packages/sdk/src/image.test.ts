import { ImageSpec } from "@banyan/contracts";
import { expect, it } from "vitest";
import { Image } from "./image.ts";

it("yields the API's JSON, its steps in the order of the calls", async () => {
  const spec = await Image.base("debian")
    .apt("jq", "git")
    .env({ A_b: "1" })
    .npm("typescript@5")
    .run("npm ci", { secrets: ["NPM_TOKEN"], network: "open", timeoutS: 60 })
    .file("/app/run.sh", "#!/bin/sh\n", { mode: "0755" })
    .file("/app/raw", new Uint8Array([0, 255]))
    .workdir("/app")
    .user("1000:1000")
    .entrypoint("/app/run.sh", "--serve")
    .ready({ port: 8080, timeoutMs: 500 })
    .resources({ memoryMb: 512 })
    .network("closed")
    .timeout(90)
    .toSpec();
  expect(spec).toEqual({
    base: "debian",
    steps: [
      { apt: ["jq", "git"] },
      { env: { A_b: "1" } },
      { npm: ["typescript@5"] },
      { run: "npm ci", secrets: ["NPM_TOKEN"], network: "open", timeout_s: 60 },
      { file: { path: "/app/run.sh", content: "#!/bin/sh\n", mode: "0755" } },
      { file: { path: "/app/raw", content_base64: "AP8=" } },
      { workdir: "/app" },
      { user: "1000:1000" },
    ],
    entrypoint: ["/app/run.sh", "--serve"],
    ready: { port: 8080, timeout_ms: 500 },
    resources: { memory_mb: 512 },
    network: "closed",
    timeout_s: 90,
  });
  expect(ImageSpec.safeParse(spec).error).toBeUndefined();
});

it("answers a new image at every call, and leaves the old one as it was", async () => {
  const base = Image.base().apt("jq");
  const [first, second] = [base.run("a"), base.run("b")];
  expect((await base.toSpec()).steps).toEqual([{ apt: ["jq"] }]);
  expect((await first.toSpec()).steps).toEqual([{ apt: ["jq"] }, { run: "a" }]);
  expect((await second.toSpec()).steps).toEqual([{ apt: ["jq"] }, { run: "b" }]);
});

it("goes on from the API's own JSON", async () => {
  const spec = { base: "default", pip: ["numpy==2.1"], steps: [{ run: "true" }] };
  expect(await Image.of(spec).run("false").toSpec()).toEqual({ ...spec, steps: [{ run: "true" }, { run: "false" }] });
});

it("takes a Dockerfile, which has no further steps", async () => {
  const image = Image.dockerfile("FROM debian\n", { buildArgs: { VERSION: "1" } });
  expect(await image.toSpec()).toEqual({ dockerfile: "FROM debian\n", build_args: { VERSION: "1" } });
  expect(() => image.apt("jq")).toThrow(/Dockerfile/);
});
