import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { asNativeError, readError } from "./connection.ts";
import { encodeFrame, FrameDecoder } from "./frame.ts";
import { NativeError, protocolViolation } from "./native-error.ts";
import { Tag, Type } from "./wire.ts";

const DIAL_DEADLINE_MS = 10_000;

/** A connection to a port inside: after the one OK frame the socket carries the port's own bytes. */
export function dial(socketPath: string, port: number, deadlineMs = DIAL_DEADLINE_MS): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: socketPath, allowHalfOpen: true });
    const decoder = new FrameDecoder();
    const late = setTimeout(() => stop(new NativeError("timeout", `port ${port} did not answer within ${deadlineMs} ms`)), deadlineMs);

    const settle = (): void => {
      clearTimeout(late);
      socket.off("data", take);
      socket.off("error", lost);
      socket.off("end", ended);
    };
    const stop = (failure: NativeError): void => {
      settle();
      socket.on("error", () => undefined);
      socket.destroy();
      reject(failure);
    };
    const lost = (cause: Error): void =>
      stop(new NativeError("connection_lost", `the sandbox's init is lost: ${cause.message}`, { cause }));
    const ended = (): void => stop(new NativeError("connection_lost", "the sandbox's init closed the connection without an answer"));
    const take = (chunk: Buffer): void => {
      try {
        const next = decoder.push(chunk).next();
        if (next.done) return;
        if (next.value.type === Type.Error) throw readError(next.value.payload);
        if (next.value.type !== Type.Ok) throw protocolViolation(`frame ${next.value.type} instead of ${Type.Ok}`);
        settle();
        handOver(socket, decoder.takeRest());
        resolve(socket);
      } catch (cause) {
        stop(asNativeError(cause));
      }
    };
    socket.on("data", take);
    socket.on("error", lost);
    socket.on("end", ended);
    socket.write(encodeFrame(Type.Dial, [[Tag.Port, port]]));
  });
}

/** Nothing may be lost between the answer and the moment the caller listens. */
function handOver(socket: Socket, rest: Buffer): void {
  socket.pause();
  if (rest.length > 0) socket.unshift(rest);
}
