// What a restore worker can do, by kind of job. Also runs without a thread.

import { createDigest } from "../codec/digest.ts";
import type { JobHandlers } from "../pipeline/protocol.ts";
import { Comparer } from "./compare-block.ts";
import { indexBlock } from "./index-block.ts";
import type { RestoreJobs, RestoreWorkerData } from "./protocol.ts";
import { shareFiles } from "./share-files.ts";
import { Unpacker } from "./unpack.ts";

async function createComparer(unpacker: Promise<Unpacker>, { digest }: RestoreWorkerData): Promise<Comparer> {
  return new Comparer(await unpacker, await createDigest(digest));
}

export function restoreJobs(data: RestoreWorkerData): JobHandlers<RestoreJobs> {
  const unpacker = Unpacker.create(data);
  const comparer = createComparer(unpacker, data);
  return {
    compare: async (input) => (await comparer).compare(input),
    leaves: async (input) => (await comparer).leaves(input),
    check: async (input) => ({ output: (await unpacker).check(input) }),
    unpack: async (input) => (await unpacker).unpack(input),
    slice: async (input) => (await unpacker).slice(input),
    share: (input) => ({ output: shareFiles(input) }),
    index: async ({ frame, prefixes }) => ({
      output: (await unpacker).index(frame, (tar, digestOf) => indexBlock(tar, prefixes, digestOf)),
    }),
  };
}
