import type { Remote } from "@banyan/contracts";
import { AppError } from "@banyan/kernel";
import { expect, it } from "vitest";
import { checkRemote, withoutSecrets } from "./remote-options.ts";

const remote = (changes: Partial<Remote>): Remote => ({ type: "s3", path: "bucket", options: {}, secrets: {}, ...changes });

function issuesOf(given: Remote): unknown {
  try {
    checkRemote(given);
    return null;
  } catch (error) {
    return error instanceof AppError ? error.details.issues : error;
  }
}

it("takes what a volume needs to name its store and to be let in", () => {
  const options = { provider: "Other", endpoint: "https://s3.example", region: "eu" };
  expect(issuesOf(remote({ options, secrets: { access_key_id: "a", secret_access_key: "b" } }))).toBeNull();
});

it.each([
  ["the rights of the host", "s3", "env_auth"],
  ["a file of the host", "sftp", "key_file"],
  ["a command", "sftp", "ssh"],
  ["a command that gives a token", "webdav", "bearer_token_command"],
  ["a profile of the host", "s3", "shared_credentials_file"],
  ["a secret where anyone sees it", "s3", "secret_access_key"],
] as const)("refuses %s by name", (_what, type, name) => {
  const issues = issuesOf(remote({ type, options: { [name]: "x" }, secrets: type === "sftp" ? { pass: "x" } : {} }));
  expect(issues).toMatchObject([{ path: ["remote", "options", name] }]);
});

it("refuses a secret that the store does not know, without saying it", () => {
  const issues = issuesOf(remote({ secrets: { password: "do not tell" } }));
  expect(issues).toMatchObject([{ path: ["remote", "secrets", "password"] }]);
  expect(JSON.stringify(issues)).not.toContain("do not tell");
});

it("refuses a password in an address, for addresses are answered", () => {
  const issues = issuesOf(remote({ type: "webdav", options: { url: "https://me:do-not-tell@dav.example/" } }));
  expect(issues).toMatchObject([{ path: ["remote", "options", "url"] }]);
  expect(JSON.stringify(issues)).not.toContain("do-not-tell");
  expect(issuesOf(remote({ type: "webdav", options: { url: "https://dav.example/a@b" } }))).toBeNull();
});

it("takes whatever of a secret a store repeats out of what it said", () => {
  const sasUrl = "https://account.blob.example/box?sp=r&sig=a%2Bsecret%2Fof16chars%3D";
  const azure = remote({ type: "azureblob", secrets: { sas_url: sasUrl, key: "a key" } });
  const said = withoutSecrets(
    'Get "https://account.blob.example/box?comp=list&sig=a%2Bsecret%2Fof16chars%3D": no such host (a key, a+key)',
    azure,
  );
  expect(said).toBe('Get "https://account.blob.example/box?comp=list&sig=…": no such host (…, …)');
  expect(withoutSecrets("connection refused", azure)).toBe("connection refused");
});

it("refuses a store that would be asked with a key of the host's", () => {
  expect(issuesOf(remote({ type: "sftp", options: { host: "store.example" } }))).toMatchObject([{ path: ["remote", "secrets"] }]);
});
