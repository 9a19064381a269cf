export { freePort } from "./free-port.ts";
export { type EmbeddedServer, type StartNatsOptions, startNatsServer } from "./nats-server.ts";
export { type StartPostgresOptions, startPostgresServer } from "./postgres-server.ts";
