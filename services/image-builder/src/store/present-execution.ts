import { and, eq, isNull, ne, type SQL } from "drizzle-orm";
import { builds } from "./schema.ts";

/** The fence of what an execution writes: the build is under way, and this is the execution of it. */
export const presentExecution = (build: { id: string; attempts: number }): SQL | undefined =>
  and(eq(builds.id, build.id), eq(builds.attempts, build.attempts), isNull(builds.endedAt), ne(builds.state, "queued"));
