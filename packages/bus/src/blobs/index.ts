export { blobStoreConformance } from "./conformance.ts";
export { BLOBS_BUCKET, jetstreamBlobs } from "./jetstream.ts";
export type { BlobInfo, BlobStore } from "./port.ts";
export { type S3Location, s3Blobs } from "./s3.ts";
