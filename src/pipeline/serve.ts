// The worker's side of the pool: takes jobs from the parent port one by one and answers each. It owns nothing.

import { parentPort } from "node:worker_threads";
import { encodeError, type JobHandlers, type JobMap, type JobReply, type JobRequest } from "./protocol.ts";

/** Serves jobs until the pool ends the thread. Called once, at the top of a worker's entry file. */
export function serveJobs<Jobs extends JobMap<Jobs>>(handlers: JobHandlers<Jobs>): void {
  const port = parentPort;
  if (port === null) throw new Error("serveJobs must be called in a worker thread");
  port.on("message", (request: JobRequest) => {
    void answer(request);
  });

  async function answer(request: JobRequest): Promise<void> {
    try {
      const handler = handlers[request.kind as keyof Jobs];
      if (handler === undefined) throw new Error(`unknown job kind ${request.kind}`);
      const { output, transfer } = await handler(request.input);
      port?.postMessage({ id: request.id, output } satisfies JobReply, transfer ?? []);
    } catch (error) {
      port?.postMessage({ id: request.id, failure: encodeError(error) } satisfies JobReply);
    }
  }
}
