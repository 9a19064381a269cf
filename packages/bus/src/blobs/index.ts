export { blobStoreConformance } from "./conformance.ts";
export { BLOBS_BUCKET, jetstreamBlobs } from "./jetstream.ts";
export type { BlobStore } from "./port.ts";
