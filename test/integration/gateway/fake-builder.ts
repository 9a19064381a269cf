import { createHash } from "node:crypto";
import type { Bus } from "@banyan/bus";
import {
  type Build,
  type BuildEvent,
  type BuildFailure,
  CancelBuild,
  contextBlob,
  DeleteImage,
  DeleteRegistry,
  fault,
  GetBuild,
  GetImage,
  type Image,
  type ImageSpec,
  type InputOf,
  ListBuilds,
  ListImages,
  ListRegistries,
  NameImage,
  PlanBuild,
  ReadBuildEvents,
  type Registry,
  RequestBuild,
  ResolveImage,
  SaveRegistry,
  UnnameImage,
} from "@banyan/contracts";
import { newId } from "@banyan/kernel";

type Request = InputOf<typeof RequestBuild>;
type Event = BuildEvent["event"];

const LOOK_EVERY_MS = 10;

interface Work {
  build: Build;
  image: Image;
  events: BuildEvent[];
}

export interface FakeBuilder {
  readonly requests: Request[];
  readonly plans: ImageSpec[];
  /** While set, builds end only by `finish`; else at once. */
  held: boolean;
  /** How the next builds fail that end at once; null: they do not. */
  failure: BuildFailure | null;
  /** What the images built from now on have a start do. */
  config: Partial<Image["config"]>;
  /** While it is away, no verb of a build is answered. */
  away: boolean;
  /** How often events were asked for. */
  eventReads: number;
  /** The latest. */
  last(): Work;
  say(work: Work, event: Event): void;
  finish(work: Work, failure?: BuildFailure | null): void;
}

const isReady = ({ state }: { state: string }): boolean => state === "ready";
const withTag = (name: string): string => (/:[^/]*$/.test(name) ? name : `${name}:latest`);

/** Keeps the contract of the image-builder's verbs in memory and builds nothing: for tests of what stands before it. */
export function serveImages(bus: Bus): FakeBuilder {
  const images: Image[] = [imageOf(null, ["default:latest"], "recipe", {})];
  const works: Work[] = [];
  const registries = new Map<string, Registry & { orgId: string }>();
  const visible = (orgId: string) => images.filter((image) => image.orgId === null || image.orgId === orgId);
  const find = (orgId: string, name: string): Image => {
    const found = visible(orgId).find(({ id, names }) => id === name || names.includes(withTag(name)));
    if (!found) throw fault("image.not_found", { image: name });
    return found;
  };
  const workOf = (orgId: string, buildId: string): Work => {
    if (builder.away) throw fault("bus.unavailable");
    const work = works.find(({ build }) => build.id === buildId && build.orgId === orgId);
    if (!work) throw fault("build.not_found", { id: buildId });
    return work;
  };

  const builder: FakeBuilder = {
    requests: [],
    plans: [],
    held: false,
    failure: null,
    config: {},
    away: false,
    eventReads: 0,
    last: () => works.at(-1) ?? raise(),
    say(work, event) {
      work.events.push({ seq: work.events.length + 1, at: Date.now(), event });
      if (event.kind === "state") work.build.state = event.state;
    },
    finish(work, failure = null) {
      work.build.failure = failure;
      work.image.state = failure ? "failed" : "ready";
      builder.say(work, { kind: "state", state: failure ? "failed" : "ready" });
    },
  };

  bus.serve(RequestBuild, async (request) => {
    builder.requests.push(request);
    const { orgId, spec, name } = request;
    for (const digest of contextsOf(spec)) {
      if (!(await bus.blobs.has(contextBlob(orgId, digest)))) throw fault("context.not_found", { digest });
    }
    const key = createHash("sha256").update(JSON.stringify(spec)).digest("hex");
    const same = works.find(({ build }) => build.key === key && build.orgId === orgId && build.state !== "failed");
    if (same) return { build: { ...same.build, cached: isReady(same.build) }, image: same.image };
    const image = imageOf(orgId, name === null ? [] : [withTag(name)], "build", builder.config);
    const work: Work = { build: buildOf(orgId, image.id, key), image: { ...image, state: "building" }, events: [] };
    works.push(work);
    images.unshift(work.image);
    builder.say(work, { kind: "state", state: "building" });
    if (!builder.held) builder.finish(work, builder.failure);
    return { build: work.build, image: work.image };
  });
  bus.serve(PlanBuild, async ({ spec }) => {
    builder.plans.push(spec);
    const base = { reference: "default", pinnedTo: images.at(-1)?.id ?? "" };
    return {
      key: "k",
      cached: false,
      imageId: null,
      base,
      steps: [{ index: 0, title: "apt jq", cached: true }],
      estimatedMs: 12,
      warnings: [],
    };
  });
  bus.serve(GetBuild, async ({ orgId, buildId }) => workOf(orgId, buildId));
  bus.serve(ListBuilds, async ({ orgId, imageId }) => {
    const builds = works
      .map(({ build }) => build)
      .filter((build) => build.orgId === orgId && (imageId === null || build.imageId === imageId));
    return { builds: builds.toReversed(), nextCursor: null };
  });
  bus.serve(CancelBuild, async ({ orgId, buildId }) => {
    const work = workOf(orgId, buildId);
    if (work.build.state === "building") {
      work.image.state = "failed";
      builder.say(work, { kind: "state", state: "cancelled" });
    }
    return { build: work.build };
  });
  bus.serve(ReadBuildEvents, async ({ orgId, buildId, after, limit, waitMs }) => {
    builder.eventReads++;
    const endsAt = Date.now() + waitMs;
    for (;;) {
      const { build, events } = workOf(orgId, buildId);
      const page = events.filter(({ seq }) => seq > after).slice(0, limit);
      const isOver = ["ready", "failed", "cancelled"].includes(build.state);
      const ended = isOver && (page.at(-1)?.seq ?? after) >= events.length;
      if (page.length > 0 || ended || Date.now() >= endsAt) return { events: page, ended };
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
  });
  bus.serve(ResolveImage, async ({ orgId, name }) => ({ image: find(orgId, name) }));
  bus.serve(GetImage, async ({ orgId, name }) => ({ image: find(orgId, name) }));
  bus.serve(ListImages, async ({ orgId, kind }) => {
    const found = visible(orgId).filter((image) => kind === undefined || image.kind === kind);
    return { images: found, nextCursor: null };
  });
  bus.serve(NameImage, async ({ orgId, imageId, name }) => {
    const image = find(orgId, imageId);
    for (const other of images) other.names = other.names.filter((had) => had !== withTag(name));
    image.names.push(withTag(name));
    return { image };
  });
  bus.serve(UnnameImage, async ({ orgId, name }) => {
    const image = find(orgId, name);
    image.names = image.names.filter((had) => had !== withTag(name));
    return {};
  });
  bus.serve(DeleteImage, async ({ orgId, imageId }) => {
    const image = find(orgId, imageId);
    if (image.orgId === null) throw fault("image.protected", { image: imageId });
    if (image.names.includes("busy:latest")) throw fault("image.in_use", { usedBy: [newId("sbx")] });
    images.splice(images.indexOf(image), 1);
    return {};
  });
  bus.serve(SaveRegistry, async ({ orgId, host, username }) => {
    const registry = { host, username, createdAt: Date.now(), orgId };
    registries.set(`${orgId} ${host}`, registry);
    return { registry };
  });
  bus.serve(ListRegistries, async ({ orgId }) => ({ registries: [...registries.values()].filter((registry) => registry.orgId === orgId) }));
  bus.serve(DeleteRegistry, async ({ orgId, host }) => {
    if (!registries.delete(`${orgId} ${host}`)) throw fault("registry.not_found", { host });
    return {};
  });
  return builder;
}

function raise(): never {
  throw new Error("nothing was built yet");
}

function imageOf(orgId: string | null, names: string[], kind: Image["kind"], config: Partial<Image["config"]>): Image {
  return {
    id: newId("img"),
    orgId,
    names,
    kind,
    state: "ready",
    layers: [{ digest: `sha256:${"0".repeat(64)}`, sizeBytes: 1_024 }],
    config: { env: {}, workdir: "/workspace", user: "root", entrypoint: [], ready: null, resources: {}, ...config },
    origin: kind === "build" ? "build" : "local",
    base: null,
    history: [{ title: "apt jq", digest: `sha256:${"0".repeat(64)}`, sizeBytes: 1_024, at: Date.now() }],
    error: null,
    createdAt: Date.now(),
    lastUsedAt: Date.now(),
  };
}

function buildOf(orgId: string, imageId: string, key: string): Build {
  const nothing = { failure: null, attempts: 1, startedAt: null, endedAt: null, steps: [] };
  return { id: newId("bld"), orgId, imageId, state: "queued", key, cached: false, createdAt: Date.now(), ...nothing };
}

function contextsOf({ context, steps }: ImageSpec): string[] {
  return [...(context === undefined ? [] : [context]), ...steps.flatMap((step) => ("copy" in step ? [step.copy.context] : []))];
}
