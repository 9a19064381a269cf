import { createServer } from "node:net";
import { messageOf } from "@banyan/kernel";

/** Refuses early: a taken port is better said before anything is started. */
export async function assertPortFree(host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const server = createServer();
    server.once("error", (cause: NodeJS.ErrnoException) => reject(new Error(sentence(host, port, cause), { cause })));
    server.listen(port, host, () => server.close(() => resolve()));
  });
}

function sentence(host: string, port: number, cause: NodeJS.ErrnoException): string {
  if (cause.code === "EADDRINUSE") return `Port ${port} on ${host} is taken: stop what listens there, or give another --port.`;
  if (cause.code === "EADDRNOTAVAIL") return `This machine has no address ${host}: give another --host.`;
  return `The API cannot listen on ${host}:${port}: ${messageOf(cause)}.`;
}
