export { freePort } from "@banyan/service";
export { type EventuallyOptions, eventually } from "./eventually.ts";
export { type FakeClock, fakeClock } from "./fake-clock.ts";
export { type FakeForks, outcome } from "./fake-fork-verbs.ts";
export { type FakeNode, type FakeNodeOptions, type FakeSandbox, fakeNode } from "./fake-node.ts";
export { forkSpec } from "./fork-spec.ts";
export { MemoryBlobs } from "./memory-blobs.ts";
export { startNats, type TestNats } from "./nats.ts";
export { startPostgres, type TestPostgres } from "./postgres.ts";
