export { type EmbeddedDocker, type StartDockerOptions, startDockerEngine } from "./docker-engine.ts";
export { freePort } from "./free-port.ts";
export { type EmbeddedServer, type StartNatsOptions, type StartServerOptions, startNatsServer } from "./nats-server.ts";
export { type StartPostgresOptions, startPostgresServer } from "./postgres-server.ts";
export { endProcess, type ProcessNote, readLivingNote, removeNote, writeNote } from "./process-note.ts";
