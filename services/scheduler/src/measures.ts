import type { Counter, Histogram, Metrics } from "@banyan/telemetry";
import type { LateWrites } from "./memory/late-writes.ts";
import type { Ledger } from "./memory/ledger.ts";
import type { Nodes } from "./memory/nodes.ts";

export interface Measures {
  /** From the request to the answer, by path. */
  startMs: Histogram;
  /** What the reconciliation found to differ, by kind of repair. */
  repairs: Counter;
}

export function createMeasures(metrics: Metrics, seen: { ledger: Ledger; nodes: Nodes; late: LateWrites }): Measures {
  const { ledger, nodes, late } = seen;
  metrics.gauge("banyan_scheduler_sandboxes", "Sandboxes that are not deleted, by state.", () => {
    const counts = new Map<string, number>();
    for (const { state } of ledger.entries()) counts.set(state, (counts.get(state) ?? 0) + 1);
    return Array.from(counts, ([state, value]) => ({ value, attributes: { state } }));
  });
  metrics.gauge("banyan_scheduler_nodes", "Nodes known, by whether they answer.", () => {
    const reachable = nodes.views().filter((node) => node.reachable).length;
    return [
      { value: reachable, attributes: { reachable: true } },
      { value: nodes.ids().length - reachable, attributes: { reachable: false } },
    ];
  });
  metrics.gauge("banyan_scheduler_late_writes", "Writes that the database has not taken yet.", () => late.failed().length);
  return {
    startMs: metrics.histogram("banyan_scheduler_start_ms", "From a create or start to its answer."),
    repairs: metrics.counter("banyan_scheduler_repairs", "Differences between nodes and rows that were repaired."),
  };
}
