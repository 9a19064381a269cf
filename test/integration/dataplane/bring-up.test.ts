import type { api, ImageConfig } from "@banyan/contracts";
import { newId, systemClock } from "@banyan/kernel";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { createAskInside, createNodePools } from "../../../services/gateway/src/forward/index.ts";
import { bringUp, needsBringUp } from "../../../services/gateway/src/http/bring-up.ts";
import type { Started } from "../../../services/gateway/src/http/started.ts";
import { CLUSTER_TOKEN, type Cluster, startCluster } from "./cluster.ts";

let cluster: Cluster;
const nodes = createNodePools();
const gateway = { askInside: createAskInside({ nodes, clusterToken: CLUSTER_TOKEN }), clock: systemClock };
beforeEach(async () => {
  cluster = await startCluster();
});
afterEach(() => cluster.stop());
afterAll(() => nodes.close());

type Ready = NonNullable<ImageConfig["ready"]>;

function started(ready: Omit<Ready, "timeout_ms"> | null, { entrypoint = [] as string[], timeoutMs = 5_000 } = {}): Started {
  const { sandboxId, orgId, nodePort, epoch } = cluster;
  const route = { sandboxId, orgId, nodeId: "test", url: `http://127.0.0.1:${nodePort}`, epoch };
  const image = { id: newId("img"), entrypoint, ready: ready && { ...ready, timeout_ms: timeoutMs } };
  return { sandbox: { id: sandboxId, orgId } as Started["sandbox"], route, path: "warm", timing: {} as Started["timing"], image };
}
const bring = (of: Started) => bringUp(gateway, of, new AbortController().signal);
const failing = async (of: Started) => {
  const error = await bring(of).then(
    () => expect.fail("it passed"),
    (thrown) => thrown,
  );
  expect(error).toMatchObject({ code: "sandbox.ready_failed", details: { sandboxId: cluster.sandboxId } });
  return error.details.seen as string;
};

describe("a ready check", () => {
  it("by command passes when the command does", async () => {
    await cluster.exec({ shell: "rm -f /tmp/ready-now; (sleep 0.2; touch /tmp/ready-now) >/dev/null 2>&1 &" });
    const tookMs = await bring(started({ command: "test -e /tmp/ready-now" }));
    expect(tookMs).toBeGreaterThan(100);
  });

  it("by command shows what the command last said", async () => {
    expect(await failing(started({ command: "echo not yet >&2; exit 7" }, { timeoutMs: 200 }))).toBe("the command ended with 7: not yet");
  });

  it("by file passes when the file is there", async () => {
    const path = "/tmp/banyan-ready-file";
    await cluster.exec({ shell: `rm -f ${path}` });
    expect(await failing(started({ file: path }, { timeoutMs: 150 }))).toMatch(/no such file/i);
    await cluster.exec({ shell: `touch ${path}` });
    expect(await bring(started({ file: path }))).toBeGreaterThanOrEqual(0);
  });

  it("by port passes for a server, also one that speaks no HTTP, and not where nobody listens", async () => {
    expect(await failing(started({ port: 4_998 }, { timeoutMs: 150 }))).toBe("nothing listens on port 4998");
    const server =
      "import socket; s = socket.create_server(('127.0.0.1', 4998));\nwhile True: c, _ = s.accept(); c.sendall(b'-ERR\\r\\n'); c.close()";
    const entrypoint = ["python3", "-c", server];
    expect(await bring(started({ port: 4_998 }, { entrypoint }))).toBeGreaterThan(0);
  });
});

describe("an entrypoint", () => {
  it("runs in the background, once however often it is brought up", async () => {
    await bring(started(null, { entrypoint: ["sleep", "1000"] }));
    const first = await entrypoint();
    expect(first.state).toBe("running");
    await bring(started(null, { entrypoint: ["sleep", "1000"] }));
    expect((await entrypoint()).pid).toBe(first.pid);
  });

  it("that is not there fails the start by name", async () => {
    expect(await failing(started(null, { entrypoint: ["no-such-program"] }))).toMatch(/no such command/i);
  });

  it("that gave up is named where the check fails", async () => {
    expect(await failing(started({ port: 4_997 }, { entrypoint: ["sh", "-c", "exit 9"], timeoutMs: 300 }))).toMatch(
      /entrypoint had ended with 9/,
    );
  });
});

it("is nothing to images without either", () => {
  expect(needsBringUp(started(null))).toBe(false);
  expect(needsBringUp(started({ port: 1 }))).toBe(true);
});

async function entrypoint(): Promise<api.Process> {
  return (await (await cluster.call("processes/entrypoint")).json()) as api.Process;
}
