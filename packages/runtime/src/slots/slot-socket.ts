import { existsSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { fault } from "@banyan/contracts";
import { assert, type Clock, newId } from "@banyan/kernel";
import { SLOT_SOCKET_NAME } from "./slot-image.ts";

const INIT_WAIT_MS = 10_000;
const INIT_POLL_MS = 2;
/** `sun_path` of a unix socket, its terminating NUL included. */
const SOCKET_PATH_BYTES_MAX = 108;

export function socketPath(slotsDirectory: string, id: string): string {
  return join(slotsDirectory, id, SLOT_SOCKET_NAME);
}

/** A data directory that is too deep is found out before the first slot. */
export function assertSocketsFit(slotsDirectory: string): void {
  const longest = Buffer.byteLength(socketPath(slotsDirectory, newId("slot")));
  assert(longest < SOCKET_PATH_BYTES_MAX, `the data directory's path is too long for a unix socket in it: ${longest} bytes`);
}

export async function waitForInit(path: string, clock: Clock): Promise<void> {
  const deadline = clock.monotonicMs() + INIT_WAIT_MS;
  while (!(await accepts(path))) {
    if (clock.monotonicMs() > deadline) throw fault("node.no_slot", { path }, { message: "the slot's init does not listen" });
    await clock.sleep(INIT_POLL_MS);
  }
}

function accepts(path: string): Promise<boolean> {
  if (!existsSync(path)) return Promise.resolve(false);
  return new Promise((resolve) => {
    const socket = connect(path);
    const answer = (accepted: boolean) => {
      socket.destroy();
      resolve(accepted);
    };
    socket.once("connect", () => answer(true)).once("error", () => answer(false));
  });
}
