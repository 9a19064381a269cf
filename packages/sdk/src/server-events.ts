export interface ServerEvent {
  event: string;
  data: string;
}

/** The events of a `text/event-stream`, of which ours use `event` and `data`. Leaving the loop closes the connection. */
export async function* readServerEvents(response: Response): AsyncGenerator<ServerEvent, void, undefined> {
  if (!response.body) return;
  let pending = "";
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    pending += text;
    const blocks = pending.split(/\r?\n\r?\n/);
    pending = blocks.pop() ?? "";
    for (const block of blocks) {
      const event = parseBlock(block);
      if (event) yield event;
    }
  }
}

/** Null for a block without data: a comment that keeps the connection alive. */
function parseBlock(block: string): ServerEvent | null {
  let event = "message";
  const data: string[] = [];
  for (const line of block.split(/\r?\n/)) {
    const at = line.indexOf(":");
    if (at <= 0) continue;
    const value = line.slice(at + 1).replace(/^ /, "");
    const field = line.slice(0, at);
    if (field === "event") event = value;
    if (field === "data") data.push(value);
  }
  return data.length === 0 ? null : { event, data: data.join("\n") };
}
