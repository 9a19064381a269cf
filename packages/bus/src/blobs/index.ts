export { blobStoreConformance } from "./conformance.ts";
export { jetstreamBlobs } from "./jetstream.ts";
export type { BlobStore } from "./port.ts";
