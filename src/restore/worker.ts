// Entry of the restore worker threads: unpack jobs.

import { workerData } from "node:worker_threads";
import type { JobHandlers } from "../pipeline/protocol.ts";
import { serveJobs } from "../pipeline/serve.ts";
import { indexBlock } from "./index-block.ts";
import type { RestoreJobs, RestoreWorkerData } from "./protocol.ts";
import { Unpacker } from "./unpack.ts";

const data = workerData as RestoreWorkerData;
const unpacker = Unpacker.create(data);

const handlers: JobHandlers<RestoreJobs> = {
  unpack: async (input) => (await unpacker).unpack(input),
  slice: async (input) => (await unpacker).slice(input),
  index: async ({ frame, prefixes }) => ({ output: (await unpacker).index(frame, (tar) => indexBlock(tar, prefixes)) }),
};

serveJobs<RestoreJobs>(handlers);
