/** The two processes of the HTTP + NATS floor: `floor-roles.ts echo|http <nats url>`. Prints one line when ready. */
import { createServer } from "node:http";
import { connectBus } from "@banyan/bus";
import { rpc } from "@banyan/contracts";
import { createLogger } from "@banyan/telemetry";
import { z } from "zod";

const Null = rpc("scheduler", "bench.null", {
  input: z.object({ n: z.int() }),
  output: z.object({ n: z.int() }),
  deadlineMs: 5_000,
  errors: [],
});
const [role, natsUrl] = process.argv.slice(2);
if (natsUrl === undefined) throw new Error("usage: floor-roles.ts echo|http <nats url>");
const bus = await connectBus({ servers: natsUrl, name: `floor-${role}`, logger: createLogger({ name: `floor-${role}`, level: "warn" }) });

if (role === "echo") {
  await bus.serve(Null, async (input) => input);
  console.log("ready");
} else {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      bus.call(Null, JSON.parse(Buffer.concat(chunks).toString())).then(
        (output) => response.setHeader("content-type", "application/json").end(JSON.stringify(output)),
        () => response.writeHead(500).end(),
      );
    });
  });
  server.listen(0, "127.0.0.1", () => {
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no address");
    console.log(`http://127.0.0.1:${address.port}`);
  });
}
