import Docker from "dockerode";

/** The engine that DOCKER_HOST names: `unix:///path` or `tcp://host:port`. */
export function openDocker(dockerHost: string): Docker {
  const url = new URL(dockerHost);
  return url.protocol === "unix:"
    ? new Docker({ socketPath: url.pathname })
    : new Docker({ host: url.hostname, port: Number(url.port), protocol: "http" });
}
