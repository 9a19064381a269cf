import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Cluster, problemOf, startCluster } from "./cluster.ts";

let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster?.stop());

interface StreamEvent {
  event: string;
  data: { text?: string; base64?: string; exit_code?: number; stdout_truncated?: boolean; stdout_bytes?: number; timed_out?: boolean };
}

function stream(json: unknown, signal?: AbortSignal): Promise<Response> {
  return cluster.call("exec", { method: "POST", json, headers: { accept: "text/event-stream" }, ...(signal && { signal }) });
}

async function* eventsOf(response: Response): AsyncGenerator<StreamEvent> {
  expect(response.headers.get("content-type")).toContain("text/event-stream");
  let held = "";
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    held += new TextDecoder("utf-8", { fatal: true }).decode(chunk, { stream: true });
    for (let end = held.indexOf("\n\n"); end >= 0; end = held.indexOf("\n\n")) {
      const [event, data] = held.slice(0, end).split("\n");
      held = held.slice(end + 2);
      if (event?.startsWith("event: ")) yield { event: event.slice(7), data: JSON.parse((data ?? "").slice(6)) };
    }
  }
}

async function all(events: AsyncIterable<StreamEvent>): Promise<StreamEvent[]> {
  const list: StreamEvent[] = [];
  for await (const event of events) list.push(event);
  return list;
}

const textOf = (events: StreamEvent[], name: string) =>
  events
    .filter(({ event }) => event === name)
    .map(({ data }) => data.text ?? "")
    .join("");

it("sends output as it comes, and the end", async () => {
  const arrivals: [string, number][] = [];
  for await (const { event } of eventsOf(await stream({ shell: "echo first; sleep 0.5; echo second >&2; exit 4" }))) {
    arrivals.push([event, performance.now()]);
  }
  expect(arrivals.map(([event]) => event)).toEqual(["stdout", "stderr", "exit"]);
  const [first, second] = arrivals;
  expect((second?.[1] ?? 0) - (first?.[1] ?? 0)).toBeGreaterThan(200);
});

it("answers the head at once, before the command says anything", async () => {
  const leaving = new AbortController();
  const response = await stream({ argv: ["sleep", "30"] }, leaving.signal);
  expect(response.status).toBe(200);
  leaving.abort();
  await eventually(() => expect(cluster.inUse()).toBe(0));
});

it("never cuts a character, and gives bytes that are no text as base64", async () => {
  const write = "import os,time\nfor b in 'a€😀'.encode(): os.write(1, bytes([b])); time.sleep(0.01)\nos.write(2, b'\\xff\\xfe')";
  const events = await all(eventsOf(await stream({ argv: ["python3", "-c", write] })));
  expect(textOf(events, "stdout")).toBe("a€😀");
  expect(events.find(({ event }) => event === "stderr")?.data).toEqual({ base64: "//4=" });
});

it("feeds input while output goes on", async () => {
  const input = "line\n".repeat(100_000);
  const events = await all(eventsOf(await stream({ argv: ["cat"], stdin: input })));
  expect(textOf(events, "stdout")).toBe(input);
  expect(events.at(-1)).toMatchObject({ event: "exit", data: { exit_code: 0, stdout_truncated: false } });
});

it("marks what was cut", async () => {
  const events = await all(eventsOf(await stream({ shell: "head -c 100000 /dev/zero | tr '\\0' x", output_max_bytes: 10 })));
  expect(textOf(events, "stdout")).toBe("x".repeat(10));
  expect(events.at(-1)?.data).toMatchObject({ stdout_truncated: true, stdout_bytes: 100_000 });
});

it("ends with the timeout", async () => {
  const events = await all(eventsOf(await stream({ shell: "echo on; sleep 60", timeout_ms: 200 })));
  expect(events.at(-1)).toMatchObject({ event: "exit", data: { timed_out: true } });
});

it("slows a command down to the pace of its reader, without holding what it writes", async () => {
  const response = await stream({ shell: "head -c 16000000 /dev/zero | tr '\\0' x; touch /tmp/all-written", output_max_bytes: 16_777_216 });
  const events = eventsOf(response);
  await events.next();
  const written = () => cluster.exec({ argv: ["test", "-e", "/tmp/all-written"] });
  expect((await written()).exit_code).toBe(1);
  let bytes = 0;
  for await (const { event, data } of events) if (event === "stdout") bytes += data.text?.length ?? 0;
  expect(bytes).toBeGreaterThan(15_000_000);
  expect((await written()).exit_code).toBe(0);
});

it("kills the command when the reader leaves", async () => {
  const leaving = new AbortController();
  const response = await stream({ shell: "echo here; exec sleep 8888" }, leaving.signal);
  await eventsOf(response).next();
  leaving.abort();
  await eventually(async () => expect((await cluster.exec({ shell: "pgrep -fx 'sleep 8888'" })).exit_code).toBe(1));
});

it("answers a command that is not there with a problem, not with a stream", async () => {
  expect(await problemOf(await stream({ argv: ["nothing-here"] }))).toMatchObject({ status: 400, code: "exec.not_found" });
});
