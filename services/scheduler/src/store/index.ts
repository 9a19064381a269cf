import { fault } from "@banyan/contracts";
import { type Database, translate } from "@banyan/db";
import { applyTransition } from "./apply-transition.ts";
import { declareMounts } from "./declare-mounts.ts";
import { deferDeadlines } from "./defer-deadlines.ts";
import { deleteForkChildren } from "./delete-fork-children.ts";
import { insertFork } from "./insert-fork.ts";
import { insertSandbox } from "./insert-sandbox.ts";
import { insertSnapshot } from "./insert-snapshot.ts";
import { listDeleting } from "./list-deleting.ts";
import { listForkChildren, loadForkChildren } from "./list-fork-children.ts";
import { listForks, listUnfinishedForks } from "./list-forks.ts";
import { listLayerUsers } from "./list-layer-users.ts";
import { listLive } from "./list-live.ts";
import { listMoving } from "./list-moving.ts";
import { listNodeWishes } from "./list-node-wishes.ts";
import { listOnNode } from "./list-on-node.ts";
import { listSandboxes } from "./list-sandboxes.ts";
import { listVolumeUsers } from "./list-volume-users.ts";
import { listWanted } from "./list-wanted.ts";
import { listWithDisk } from "./list-with-disk.ts";
import { listMountIntents, readMountIntent, removeMountIntent, saveMountIntent } from "./mount-intents.ts";
import { purgeDeleted } from "./purge-deleted.ts";
import { purgeForks } from "./purge-forks.ts";
import { purgeSnapshots } from "./purge-snapshots.ts";
import { purgeTransitions } from "./purge-transitions.ts";
import { readFork, readWholeFork } from "./read-fork.ts";
import { readForkBase } from "./read-fork-base.ts";
import { readForkEvents } from "./read-fork-events.ts";
import { findRoot, listChildren, listForksOf, listPromotions, readKin } from "./read-lineage.ts";
import { readOutbox } from "./read-outbox.ts";
import { readSandbox } from "./read-sandbox.ts";
import { readSnapshot } from "./read-snapshot.ts";
import { recordActivity } from "./record-activity.ts";
import { removeNodeWish } from "./remove-node-wish.ts";
import { removeSaid } from "./remove-said.ts";
import { removeSnapshot } from "./remove-snapshot.ts";
import { saveNodeWish } from "./save-node-wish.ts";
import { listUnsaidEnds, markEndSaid } from "./say-fork-ends.ts";
import { updateSettings } from "./update-settings.ts";
import { writeFork } from "./write-fork.ts";

/** Somebody waits for most queries: an answer that takes longer is worth less than an error. */
const ANSWER_MAX_MS = 1_800;
const RETRY_AFTER_MS = 1_000;

/** Every query of this service, bound to its database. Each answers or throws `database.unavailable` within a bound. */
export function createStore(db: Database) {
  const bound =
    <A extends unknown[], R>(query: (db: Database, ...args: A) => Promise<R>) =>
    (...args: A): Promise<R> =>
      withinBound(translate(() => query(db, ...args)));
  /** Nobody waits for it that could do anything else: only the statement's own bound holds. */
  const patient =
    <A extends unknown[], R>(query: (db: Database, ...args: A) => Promise<R>) =>
    (...args: A): Promise<R> =>
      translate(() => query(db, ...args));
  return {
    applyTransition: bound(applyTransition),
    declareMounts: bound(declareMounts),
    deferDeadlines: bound(deferDeadlines),
    deleteForkChildren: patient(deleteForkChildren),
    insertFork: bound(insertFork),
    insertSandbox: bound(insertSandbox),
    insertSnapshot: bound(insertSnapshot),
    listDeleting: bound(listDeleting),
    listForkChildren: bound(listForkChildren),
    listForks: bound(listForks),
    listUnfinishedForks: bound(listUnfinishedForks),
    listUnsaidEnds: bound(listUnsaidEnds),
    loadForkChildren: patient(loadForkChildren),
    markEndSaid: bound(markEndSaid),
    listLayerUsers: bound(listLayerUsers),
    listLive: bound(listLive),
    listSandboxes: bound(listSandboxes),
    listMountIntents: bound(listMountIntents),
    listVolumeUsers: bound(listVolumeUsers),
    listWanted: bound(listWanted),
    purgeDeleted: bound(purgeDeleted),
    purgeForks: patient(purgeForks),
    purgeSnapshots: bound(purgeSnapshots),
    purgeTransitions: bound(purgeTransitions),
    readFork: bound(readFork),
    readForkEvents: bound(readForkEvents),
    readOutbox: bound(readOutbox),
    readMountIntent: bound(readMountIntent),
    readSandbox: bound(readSandbox),
    readSnapshot: bound(readSnapshot),
    recordActivity: bound(recordActivity),
    removeMountIntent: bound(removeMountIntent),
    removeSaid: bound(removeSaid),
    removeSnapshot: bound(removeSnapshot),
    listMoving: bound(listMoving),
    listNodeWishes: bound(listNodeWishes),
    listOnNode: bound(listOnNode),
    listWithDisk: bound(listWithDisk),
    removeNodeWish: bound(removeNodeWish),
    saveMountIntent: bound(saveMountIntent),
    saveNodeWish: bound(saveNodeWish),
    findRoot: bound(findRoot),
    listChildren: bound(listChildren),
    listForksOf: bound(listForksOf),
    listPromotions: bound(listPromotions),
    readForkBase: bound(readForkBase),
    readKin: bound(readKin),
    readWholeFork: bound(readWholeFork),
    updateSettings: bound(updateSettings),
    writeFork: patient(writeFork),
  };
}

export type Store = ReturnType<typeof createStore>;

/** The query itself may go on and even succeed: every write is fenced, so a later look at the row tells. */
function withinBound<T>(query: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(fault("database.unavailable", { retryAfterMs: RETRY_AFTER_MS, waitedMs: ANSWER_MAX_MS })),
      ANSWER_MAX_MS,
    );
    query.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
