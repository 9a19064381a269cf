import type { Bus, Served } from "@banyan/bus";
import { ListImages } from "@banyan/contracts";
import type { Database } from "@banyan/db";
import { listImages as readImages } from "../store/list-images.ts";
import { viewOf } from "../store/schema.ts";

export function listImages(bus: Bus, db: Database): Served {
  return bus.serve(ListImages, async ({ orgId }) => ({ images: (await readImages(db, orgId)).map(viewOf) }));
}
