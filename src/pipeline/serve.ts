// The worker's side of the pool: takes jobs from the parent port one by one and answers each. It owns nothing.

import { parentPort } from "node:worker_threads";
import { isEnding, setHolding, setState, tellAnswered } from "./holding.ts";
import {
  encodeError,
  type JobHandlers,
  type JobMap,
  type JobReply,
  type JobRequest,
  type ThreadMessage,
} from "./protocol.ts";

/** Serves jobs until the pool ends the thread. Called once, at the top of a worker's entry file. */
export function serveJobs<Jobs extends JobMap<Jobs>>(handlers: JobHandlers<Jobs>): void {
  const port = parentPort;
  if (port === null) throw new Error("serveJobs must be called in a worker thread");
  port.on("message", (message: JobRequest | ThreadMessage) => {
    // On the loop's next turn, where memory of addons is given back: while messages wait, they alone would be handled, a thousand in a row.
    if ("id" in message) setImmediate(() => void answer(message));
    // Between two jobs: what they opened they have closed.
    else if (message.end === true) process.exit();
    else setState(message.state);
  });

  async function answer(request: JobRequest): Promise<void> {
    setHolding(1);
    try {
      if (isEnding()) throw new Error("the worker pool was closed");
      const handler = handlers[request.kind as keyof Jobs];
      if (handler === undefined) throw new Error(`unknown job kind ${request.kind}`);
      const { output, transfer } = await handler(request.input);
      port?.postMessage({ id: request.id, output } satisfies JobReply, transfer ?? []);
    } catch (error) {
      port?.postMessage({ id: request.id, failure: encodeError(error) } satisfies JobReply);
    } finally {
      tellAnswered();
    }
  }
}
