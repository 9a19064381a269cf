import { fault } from "@banyan/contracts";
import Docker from "dockerode";

/** An engine that is silent for this long has failed; also a quiet event stream, which is then opened anew. */
const SILENCE_MS = 120_000;

/** The engine at `unix:///path` or `tcp://host:port`. Nothing is sent yet. `silenceMs`: for whoever waits for long and quiet work. */
export function openDocker(dockerHost: string, silenceMs: number = SILENCE_MS): Docker {
  const url = URL.canParse(dockerHost) ? new URL(dockerHost) : null;
  if (url?.protocol === "unix:") return new Docker({ socketPath: url.pathname, timeout: silenceMs });
  if (url?.protocol === "tcp:") return new Docker({ host: url.hostname, port: url.port, protocol: "http", timeout: silenceMs });
  throw fault("request.invalid", { dockerHost }, { message: `DOCKER_HOST is neither unix:///path nor tcp://host:port: ${dockerHost}` });
}
