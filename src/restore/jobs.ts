// What a restore worker can do, by kind of job. Also runs without a thread.

import type { JobHandlers } from "../pipeline/protocol.ts";
import { indexBlock } from "./index-block.ts";
import type { RestoreJobs, RestoreWorkerData } from "./protocol.ts";
import { Unpacker } from "./unpack.ts";

export function restoreJobs(data: RestoreWorkerData): JobHandlers<RestoreJobs> {
  const unpacker = Unpacker.create(data);
  return {
    unpack: async (input) => (await unpacker).unpack(input),
    slice: async (input) => (await unpacker).slice(input),
    index: async ({ frame, prefixes }) => ({
      output: (await unpacker).index(frame, (tar) => indexBlock(tar, prefixes)),
    }),
  };
}
