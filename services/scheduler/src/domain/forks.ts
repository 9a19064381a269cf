/** The pure part of forks, for whoever drives it without a scheduler around it. */
export type { ChildChange, ChildError, ChildRow, ForkRow, ForkTemplate, Freeze, LoadedChild } from "./fork.ts";
export { forkOf, hasEnded, NO_COUNTS } from "./fork.ts";
export { type Answer, type Batch, ForkBook, type NodesView, type Report } from "./fork-book.ts";
export { ForkChildren, type OwnParts } from "./fork-children.ts";
export type { PlanView } from "./fork-plan.ts";
export type { ForkAction, ForkHead, ForkWrite, NewSandbox, SandboxEnd } from "./fork-steps.ts";
export { type Amounts, amountsOf, type Candidate } from "./place.ts";
