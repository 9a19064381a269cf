import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { connectBus } from "@banyan/bus";
import { event, job, rpc } from "@banyan/contracts";
import { silentLogger } from "@banyan/kernel";
import { createTelemetry, traceHeaders, withSpan, withSpanFrom } from "@banyan/telemetry";
import { eventually, startNats } from "@banyan/testkit";
import { expect, it } from "vitest";
import { z } from "zod";

const Payload = z.object({});
const Ask = rpc("scheduler", "trace.ask", { input: Payload, output: Payload, deadlineMs: 2_000, errors: [] });
const Work = job("scheduler", "trace.work", { input: Payload, ackWaitMs: 5_000, deliveriesMax: 1 });
const Happened = event("trace", "happened", Payload);
const REMOTE_TRACE = "0af7651916cd43dd8448eb211c80319c";
const REMOTE = { traceparent: `00-${REMOTE_TRACE}-b7ad6b7169203331-01` };

interface Span {
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId?: string;
}
interface Export {
  resourceSpans: { scopeSpans: { spans: Span[] }[] }[];
}

it("follows one trace from the caller's headers through rpc, job and event", async () => {
  const spans: Span[] = [];
  const collector = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray()).toString();
    for (const { scopeSpans } of (JSON.parse(body) as Export).resourceSpans) for (const scope of scopeSpans) spans.push(...scope.spans);
    response.writeHead(200, { "content-type": "application/json" }).end("{}");
  });
  await new Promise<void>((resolve) => collector.listen(0, "127.0.0.1", resolve));
  const { port } = collector.address() as AddressInfo;
  expect(traceHeaders()).toEqual({});
  const telemetry = await createTelemetry({ serviceName: "test", otlpEndpoint: `http://127.0.0.1:${port}` });
  const nats = await startNats();
  const bus = await connectBus({ servers: nats.url, name: "traced", logger: silentLogger });
  const heard = Promise.withResolvers<Record<string, string>>();
  bus.serve(Ask, () => withSpan("decide", {}, () => bus.publishJob(Work, {}).then(() => ({}))));
  const consuming = [
    bus.consumeJobs(Work, () => bus.emit(Happened, "x", {}), { concurrencyMax: 1 }),
    bus.onEvents(Happened, { durable: "traced" }, async () => heard.resolve(traceHeaders())),
  ];

  await withSpanFrom(REMOTE, "POST /v1/sandboxes", { route: "create" }, () => bus.call(Ask, {}));
  expect((await heard.promise).traceparent).toContain(REMOTE_TRACE);
  await Promise.all(consuming.map((one) => one.stop()));
  await bus.close();
  await telemetry.stop();
  await eventually(() => expect(spans.map(({ name }) => name)).toContain("POST /v1/sandboxes"));

  const parentOf = (name: string): string | undefined => {
    const span = spans.find((candidate) => candidate.name === name);
    return spans.find((candidate) => candidate.spanId === span?.parentSpanId)?.name;
  };
  expect(spans.every(({ traceId }) => traceId === REMOTE_TRACE)).toBe(true);
  expect(parentOf(`call ${Ask.subject}`)).toBe("POST /v1/sandboxes");
  expect(parentOf(`serve ${Ask.subject}`)).toBe(`call ${Ask.subject}`);
  expect(parentOf("decide")).toBe(`serve ${Ask.subject}`);
  expect(parentOf(`consume ${Work.subject}`)).toBe(`publish ${Work.subject}`);
  expect(parentOf(`consume ${Happened.pattern}`)).toBe("publish evt.trace.x.happened");
  await nats.stop();
  collector.close();
});
