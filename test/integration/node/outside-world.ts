import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { eventually } from "@banyan/testkit";

/** A server on the internet, on a private network and at the metadata address: all in one network namespace behind a link of this host. */
export const INTERNET = "198.51.100.10";
export const INTERNET_TOO = "198.51.100.11";
export const HOST_ON_INTERNET = "198.51.100.1";
export const PRIVATE = "10.99.77.10";
export const METADATA = "169.254.169.254";
export const PORT = 8_080;

const NAME = `bnyt${process.pid % 100_000}`;

export async function openOutsideWorld(): Promise<{ close(): Promise<void> }> {
  const ip = (...args: string[]) => execFileSync("ip", args, { stdio: "pipe" });
  ip("netns", "add", NAME);
  ip("link", "add", NAME, "type", "veth", "peer", "name", "eth0", "netns", NAME);
  ip("addr", "add", `${HOST_ON_INTERNET}/28`, "dev", NAME);
  ip("link", "set", NAME, "up");
  for (const address of [INTERNET, INTERNET_TOO, PRIVATE, METADATA]) {
    ip("-n", NAME, "addr", "add", `${address}/24`, "dev", "eth0");
    if (address === PRIVATE || address === METADATA) ip("route", "add", `${address}/32`, "dev", NAME);
  }
  ip("-n", NAME, "link", "set", "eth0", "up");
  ip("-n", NAME, "route", "add", "default", "via", HOST_ON_INTERNET);
  const serve = `require("net").createServer((socket) => socket.end("hello\\n")).listen(${PORT}, "0.0.0.0")`;
  const server: ChildProcess = spawn("ip", ["netns", "exec", NAME, process.execPath, "-e", serve], { stdio: "ignore" });
  await eventually(() => canConnect(INTERNET, PORT));
  await eventually(() => canConnect(PRIVATE, PORT));
  return {
    async close() {
      const ended = once(server, "exit");
      server.kill("SIGKILL");
      await ended;
      ip("netns", "del", NAME);
    },
  };
}

function canConnect(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, timeout: 1_000 }, () => {
      socket.destroy();
      resolve();
    });
    socket.on("timeout", () => socket.destroy(new Error(`no answer from ${host}:${port}`)));
    socket.on("error", reject);
  });
}
