import { describe, expect, it } from "vitest";
import { TsfsaError } from "../../src/base/errors.ts";
import { createDigest } from "../../src/codec/digest.ts";
import type { SealedBlock } from "../../src/archive/writer.ts";
import { emptyTotals } from "../../src/format/summary.ts";
import { SlotPool } from "../../src/pipeline/slots.ts";
import { emptyPackTotals } from "../../src/save/job.ts";
import type { PackedBlock, PackOutput } from "../../src/save/protocol.ts";
import { Sequencer, type SubmittedJob } from "../../src/save/sequencer.ts";

const nothing = new Uint8Array(0);
const carried = { rows: nothing, digests: nothing, count: 0, directory: -1 };
const totals = { ...emptyPackTotals(), entries: 1, members: 1, files: 1 };

function block(length: number): PackedBlock {
  const encoded = { rows: nothing, digests: nothing, entryCount: 1, directory: -1, digest: new Uint8Array(16) };
  return { ...encoded, compressedLength: length, uncompressedLength: 512 };
}

function output(length: number): PackOutput {
  return { blocks: [block(length)], carried, damagedRanges: [], changed: false, warnings: [], totals };
}

interface Deferred {
  readonly job: (slot: number) => SubmittedJob;
  readonly resolve: (output: PackOutput) => void;
  readonly reject: (error: Error) => void;
}

function deferred(): Deferred {
  const settle = {} as Pick<Deferred, "resolve" | "reject">;
  const result = new Promise<PackOutput>((resolve, reject) => Object.assign(settle, { resolve, reject }));
  const { resolve, reject } = settle;
  return { job: (slot) => ({ source: 0, slot, ancestorsOf: () => [], result }), resolve, reject };
}

async function makeSequencer(slots: number, write: (block: SealedBlock) => Promise<void>) {
  const pool = new SlotPool(slots, 64);
  const written: number[] = [];
  const writer = {
    offset: 0,
    entries: 0,
    carry: () => {},
    writeBlock: async (sealed: SealedBlock) => {
      await write(sealed);
      written.push(sealed.frame.length);
    },
  };
  const reporter = { warning: () => {}, progress: () => {}, step: () => {} };
  const digest = await createDigest("xxh128");
  // Only what a sequencer uses of a writer.
  const sequencer = new Sequencer(writer as never, digest, pool, reporter, [emptyTotals()]);
  return { sequencer, written };
}

const accept = (): Promise<void> => Promise.resolve();

describe("Sequencer", () => {
  it("writes in the order of the plan, whatever the order in which jobs end", async () => {
    const { sequencer, written } = await makeSequencer(3, accept);
    const jobs = [deferred(), deferred(), deferred()];
    for (const { job } of jobs) sequencer.push(job(await sequencer.acquireSlot()));
    jobs[2]?.resolve(output(30));
    jobs[0]?.resolve(output(10));
    jobs[1]?.resolve(output(20));
    await sequencer.drain();
    expect(written).toEqual([10, 20, 30]);
    expect(sequencer.members).toBe(3);
  });

  it("gives a slot again only after its block was written", async () => {
    const finish: (() => void)[] = [];
    const { sequencer } = await makeSequencer(1, () => new Promise((resolve) => finish.push(resolve)));
    const first = deferred();
    sequencer.push(first.job(await sequencer.acquireSlot()));
    let given = false;
    const second = sequencer.acquireSlot().then(() => (given = true));
    first.resolve(output(10));
    await new Promise(setImmediate);
    expect(given).toBe(false);
    finish[0]?.();
    await second;
    expect(given).toBe(true);
  });

  it("tells a failing job to who waits for a slot, to who comes later and in the end", async () => {
    const { sequencer, written } = await makeSequencer(2, accept);
    const jobs = [deferred(), deferred()];
    for (const { job } of jobs) sequencer.push(job(await sequencer.acquireSlot()));
    const waiting = sequencer.acquireSlot();
    const error = new TsfsaError("IO", "the disk is gone");
    jobs[1]?.resolve(output(20));
    jobs[0]?.reject(error);
    await expect(waiting).rejects.toBe(error);
    await expect(sequencer.acquireSlot()).rejects.toBe(error);
    await expect(sequencer.drain()).rejects.toBe(error);
    expect(written, "nothing after the job that failed").toEqual([]);
  });

  it("fails with the error of the sink, and writes nothing more", async () => {
    const full = new TsfsaError("NO_SPACE", "full");
    const { sequencer, written } = await makeSequencer(2, ({ frame }) =>
      frame.length === 10 ? Promise.reject(full) : Promise.resolve(),
    );
    const jobs = [deferred(), deferred()];
    for (const { job } of jobs) sequencer.push(job(await sequencer.acquireSlot()));
    for (const [i, job] of jobs.entries()) job.resolve(output(10 + i));
    await expect(sequencer.drain()).rejects.toBe(full);
    expect(written).toEqual([]);
  });
});
