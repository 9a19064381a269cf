import { constants } from "node:os";
import { fault } from "@banyan/contracts";
import { NativeError } from "@banyan/runtime";
import { expect, it } from "vitest";
import { type Area, fromNative } from "./native-errors.ts";

const { errno } = constants;

it.each<[Area, NativeError, string]>([
  ["exec", new NativeError("not_found", "nope", { errno: errno.ENOENT }), "exec.not_found"],
  ["exec", new NativeError("errno", "fork", { errno: errno.EAGAIN }), "exec.resources"],
  ["exec", new NativeError("errno", "x", { errno: errno.E2BIG }), "request.too_large"],
  ["exec", new NativeError("errno", "exists", { errno: errno.EEXIST }), "process.exists"],
  ["exec", new NativeError("connection_lost", "gone"), "sandbox.protocol"],
  ["process", new NativeError("not_found", "none", { errno: errno.ESRCH }), "process.not_found"],
  ["process", new NativeError("errno", "still", { errno: errno.ETIMEDOUT }), "process.wait_timeout"],
  ["process", new NativeError("errno", "closed", { errno: errno.EPIPE }), "process.stdin_unavailable"],
  ["file", new NativeError("errno", "x", { errno: errno.ENOENT }), "file.not_found"],
  ["file", new NativeError("bad_request", "x", { errno: errno.EINVAL }), "file.failed"],
  ["file", new NativeError("errno", "x", { errno: errno.EXDEV }), "file.failed"],
  ["content", new NativeError("bad_request", "x", { errno: errno.EINVAL }), "file.not_regular"],
  ["content", new NativeError("errno", "x", { errno: errno.EDQUOT }), "file.no_space"],
  ["file", new NativeError("errno", "x", { errno: errno.EFBIG }), "file.too_large"],
  ["search", new NativeError("bad_request", "regex", { errno: errno.EINVAL }), "file.bad_pattern"],
  ["port", new NativeError("errno", "x", { errno: errno.ECONNREFUSED }), "port.refused"],
  ["port", new NativeError("too_many", "x", { errno: errno.EAGAIN }), "exec.too_many"],
])("in %s says of %s", (area, error, code) => {
  expect(fromNative(error, area)).toMatchObject({ code, details: { reason: error.message } });
});

it("says what of a tree stays, also where our own source is what failed", () => {
  const stays = { files: 2, last: "a/b" };
  const told = { filesUnpacked: 2, lastUnpacked: "a/b" };
  expect(fromNative(new NativeError("errno", "x", { errno: errno.EDQUOT, stays }), "file")).toMatchObject({
    code: "file.no_space",
    details: { errno: "EDQUOT", ...told },
  });
  const cause = fault("request.invalid", { issues: [] }, { message: "a device" });
  expect(fromNative(new NativeError("aborted", "x", { cause, stays }), "file")).toMatchObject({
    code: "request.invalid",
    message: "a device",
    details: { issues: [], ...told },
  });
});

it("leaves what is not init's alone", () => {
  const other = new Error("ours");
  expect(fromNative(other, "file")).toBe(other);
});
