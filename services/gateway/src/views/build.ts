import type { api, Build, BuildEvent, BuildStep } from "@banyan/contracts";
import { iso, isoOrNull } from "./time.ts";

export function buildView(build: Build): api.Build {
  const { failure } = build;
  return {
    id: build.id,
    image_id: build.imageId,
    state: build.state,
    cached: build.cached,
    steps: build.steps.map(stepView),
    failure: failure && {
      code: failure.code,
      message: failure.message,
      fix: failure.fix,
      step: failure.step,
      exit_code: failure.exitCode,
      last_lines: failure.lastLines,
    },
    attempts: build.attempts,
    created_at: iso(build.createdAt),
    started_at: isoOrNull(build.startedAt),
    ended_at: isoOrNull(build.endedAt),
  };
}

function stepView({ index, title, state, durationMs, exitCode }: BuildStep): api.Build["steps"][number] {
  return { index, title, state, duration_ms: durationMs, exit_code: exitCode };
}

export function buildEventView({ seq, at, event }: BuildEvent): api.BuildEvent {
  const head = { seq, at: iso(at) };
  switch (event.kind) {
    case "log":
      return { ...head, event: "log", step: event.step, stream: event.stream, text: event.text };
    case "step":
      return { ...head, event: "step", step: stepView(event.step) };
    case "state":
      return { ...head, event: "state", state: event.state };
  }
}
