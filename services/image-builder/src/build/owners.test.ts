import { expect, it } from "vitest";
import { lookUp } from "./owners.ts";

const PASSWD = "root:x:0:0:root:/root:/bin/sh\nagent:x:1000:1001::/home/agent:/bin/sh\n";
const GROUP = "root:x:0:\nstaff:x:50:agent\n";

it.each([
  ["agent", undefined, { uid: 1000, gid: 1001 }],
  ["agent", "staff", { uid: 1000, gid: 50 }],
  ["1000", undefined, { uid: 1000, gid: 1001 }],
  ["7", undefined, { uid: 7, gid: 0 }],
  ["7", "8", { uid: 7, gid: 8 }],
  ["nobody", undefined, null],
  ["agent", "nobody", null],
])("reads %s:%s as the image's accounts have it", (user, group, owner) => {
  expect(lookUp(user, group, PASSWD, GROUP)).toEqual(owner);
});
