import { ERRORS } from "@banyan/contracts";

/** All an agent needs that knows nothing but the base address. */
export function llmsText(publicUrl: string): string {
  return `# Banyan

> A computer for an agent, in milliseconds. You ask over HTTP for a sandbox (a Linux machine of your own with python3, node and git), run
> commands in it, read and write its files, reach its ports, stop it and start it again on the same disk, and delete it.

Base address: ${publicUrl}
Every call below /v1 needs the header \`Authorization: Bearer <API key>\` (keys start with \`bny_\`). Bodies and replies are JSON unless said otherwise.
The full reference is ${publicUrl}/openapi.json (OpenAPI 3.1).

## The calls

Make a sandbox (all fields optional; it runs when this answers):

    curl -X POST ${publicUrl}/v1/sandboxes -H "Authorization: Bearer $BANYAN_API_KEY" \\
      -d '{"env": {"GREETING": "hello"}, "labels": {"task": "42"}, "limits": {"cpu": 1, "memory_mb": 1024}, "lifetime": {"idle_timeout_s": 900}}'

Run a command and wait for it (\`argv\` as it is, or \`shell\` for /bin/sh -c):

    curl -X POST ${publicUrl}/v1/sandboxes/{id}/exec -H "Authorization: Bearer $BANYAN_API_KEY" \\
      -d '{"shell": "python3 -c \\"print(6 * 7)\\"", "timeout_ms": 60000}'
    -> {"exit_code": 0, "stdout": "42\\n", "stderr": "", "timed_out": false, …}

With \`Accept: text/event-stream\` the same answers as events: stdout, stderr, exit.

- POST   /v1/sandboxes/{id}/processes             start in the background; then GET …/processes/{pid}/stdout?offset=0&follow=true, POST …/wait, …/signal, …/stdin
- PUT    /v1/sandboxes/{id}/files/content?path=/workspace/a.txt    write a file; the body is its bytes
- GET    /v1/sandboxes/{id}/files/content?path=…  read a file; \`Range\` is honoured
- GET    /v1/sandboxes/{id}/files/list?path=…     also: stat, find?glob=; POST mkdir, move, remove, chmod, grep, replace
- PUT    /v1/sandboxes/{id}/files/tar?path=…      upload a tree as tar; GET downloads one
- ANY    /v1/sandboxes/{id}/ports/{port}/…        HTTP or WebSocket to a server inside; POST …/ports/{port}/links for a signed link
- GET    /v1/sandboxes/{id}                       its state; GET /v1/sandboxes?label=task=42&state=running lists
- PATCH  /v1/sandboxes/{id}                       change labels or lifetime
- POST   /v1/sandboxes/{id}/stop                  ends its processes, keeps its disk; POST …/start runs it again
- DELETE /v1/sandboxes/{id}                       ends it and removes its disk
- GET    /v1/usage                                what you hold, and your quota
- POST   /v1/sandboxes/{id}/snapshots             {"name": "mine"}: an image of it as it is now; others start from it

## An environment of your own

State it in the create; it is built where need be, once, and found the next time (add \`Accept: text/event-stream\` to see it happen):

    curl -X POST ${publicUrl}/v1/sandboxes -H "Authorization: Bearer $BANYAN_API_KEY" \\
      -d '{"image": {"apt": ["jq"], "pip": ["numpy"], "npm": ["typescript@5"], "files": [{"path": "/a.txt", "content": "x"}], "commands": ["jq --version"]}}'

- POST   /v1/images                               {"spec": {…}, "name": "team/app:1"}: builds it; \`Prefer: wait=300\` waits, \`?dry_run=true\` only plans
- GET    /v1/images                               what \`image\` and \`base\` may be; /v1/images/{id or name} shows one whole
- GET    /v1/builds/{id}/events                   a build's log, live or afterwards; POST /v1/builds/{id}/cancel
- PUT    /v1/contexts/{sha256 of a tar}           files for \`{"copy": {"context": "sha256:…", "to": "/app"}}\` steps

## Many tries at once

Fork a sandbox that you have prepared: children have its files (not its processes), each runs the command, and it goes on itself:

    curl -X POST ${publicUrl}/v1/sandboxes/{id}/forks -H "Authorization: Bearer $BANYAN_API_KEY" -H "Prefer: wait=600" \\
      -d '{"count": 20, "command": "./try.sh --seed $BANYAN_FORK_INDEX", "policy": "first_success"}'

\`policy\`: all, first_success, or {"best": "max"} by the number on the last line. \`each\`: [{"env", "stdin", "files"}] for single children. \`POST /v1/forks\`
with {"source": {"image": "…"}, …} forks an image. 200: it has ended; 202: it goes on.

- GET    /v1/forks/{id}                           its counts, its winner, and \`fix\`: what to call next; POST …/cancel ends it
- GET    /v1/forks/{id}/children?state=failed     how each ended: exit_code, stdout, what it changed; GET …/events follows them live
- GET    /v1/sandboxes/{id}/diff                  paths added, changed, deleted since the fork; ?content=true, ?against=…, ?format=patch
- POST   /v1/sandboxes/{child}/promote            the parent goes on from this child's files; GET /v1/sandboxes/{id}/lineage is the tree

## Files that many sandboxes share

A volume is filled once and mounted in any number of sandboxes; mounting makes no create slower:

    curl -X POST ${publicUrl}/v1/volumes -H "Authorization: Bearer $BANYAN_API_KEY" -d '{"name": "data"}'
    curl -X PUT "${publicUrl}/v1/volumes/data/files/tar?path=/" -H "Authorization: Bearer $BANYAN_API_KEY" --data-binary @data.tar
    curl -X POST ${publicUrl}/v1/sandboxes -H "Authorization: Bearer $BANYAN_API_KEY" \\
      -d '{"volumes": [{"volume": "data", "path": "/data", "mode": "cow"}]}'

\`mode\`: rw (shared, changes seen by all), ro, cow (a private writable view: hundreds may each write, none copies, none sees another). \`subpath\`: a part of
it; \`version\`: as it was at a snapshot. \`volumes\` goes into the body of a fork too.

- GET    /v1/volumes                              yours; PATCH, DELETE /v1/volumes/{id or name}; GET …/users says who has it mounted
- ANY    /v1/volumes/{id}/files/…                 the same calls as below a sandbox's /files, paths from the volume's root
- POST   /v1/volumes/{id}/uploads                 {"path", "size"}: a large file in parts; then PUT …/uploads/{upload}?offset=&sha256= and POST …/complete
- POST   /v1/volumes/{id}/versions                {"name": "v1"}: freezes its content; POST …/restore {"version": "v1"}, POST …/forks another volume of it
- POST   /v1/sandboxes/{id}/volumes               {"volume": "data", "path": "/data"}: mounts it while the sandbox runs; DELETE …/volumes?path=/data unmounts

## Failures

A failure is a problem document (application/problem+json): \`code\` says what happened, \`retryable\` and \`retry_after_ms\` whether and when to try
again, \`fix\` the next call that would help. An example:

    {"status": 404, "code": "sandbox.not_found", "detail": "…", "retryable": false, "fix": "${ERRORS["sandbox.not_found"].fix}", …}

Repeat a mutation safely by sending it with a header \`Idempotency-Key: <any unique text>\`: a repeat gets the first one's reply.
A command that fails is no failed call: it answers 200 with its \`exit_code\`.
`;
}
