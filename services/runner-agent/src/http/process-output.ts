import { api } from "@banyan/contracts";
import { readQuery, sendBytes, translatingEach } from "@banyan/files";
import type { Operation } from "./operation.ts";
import { findProcess, processIdOf } from "./processes.ts";

/**
 * `GET processes/{id}/stdout|stderr`. Without follow: what there is from the offset on, and where to go on. With follow: until the
 * process ends; who loses the connection counts the bytes received and asks again from there.
 */
export async function processOutput(operation: Operation): Promise<void> {
  const { request, response, sandbox, query, signal } = operation;
  const { offset, limit, follow } = readQuery(query, api.OutputQuery);
  const source = /\/stderr(\?|$)/.test(request.url ?? "") ? "stderr" : "stdout";
  const process = await findProcess(operation);
  const headers = { "content-type": "application/octet-stream", "x-banyan-state": process.running ? "running" : "exited" };
  const follows = follow === "true";
  const sizeBytes = source === "stdout" ? process.stdoutBytes : process.stderrBytes;
  const length = follows ? limit : Math.max(0, Math.min(limit ?? Number.MAX_SAFE_INTEGER, sizeBytes - offset));
  if (length === 0) {
    response.writeHead(200, { ...headers, "x-banyan-next-offset": offset, "content-length": 0 }).end();
    return;
  }
  const output = sandbox.init.readOutput(processIdOf(operation), source, {
    offset,
    follow: follows,
    signal,
    ...(length !== undefined && { length }),
  });
  if (follows) {
    response.writeHead(200, headers).flushHeaders();
  } else {
    response.writeHead(200, { ...headers, "x-banyan-next-offset": offset + (length ?? 0), "content-length": length ?? 0 });
  }
  await sendBytes(response, translatingEach("process", output), follows ? undefined : length);
}
