// An image as a source: hands a device to the workers, slice by slice, as one sparse file below the source's root.

import type { Timestamp } from "../model/entry.ts";
import { sumOfSegments } from "../sys/data-runs.ts";
import type { SavePool } from "./protocol.ts";
import type { Sequencer } from "./sequencer.ts";
import { cutSlices, planLargeFile, type Slice } from "./slices.ts";

/** A device or image file to save. The descriptors stay the caller's. */
export interface ImageRoot {
  readonly image: {
    readonly fd: number;
    /** The same with O_DIRECT. */
    readonly directFd?: number | undefined;
    /** Of the file in the archive. */
    readonly name: Uint8Array;
    readonly mtime: Timestamp;
    readonly size: number;
    /** Runs of bytes to read: pairs of offset, length. The rest is a hole of the file. */
    readonly runs: Float64Array;
  };
}

export interface ImageRun {
  readonly source: number;
  readonly prefix: Uint8Array;
  readonly firstEntry: number;
  readonly blockSize: number;
  readonly pool: SavePool;
  readonly sequencer: Sequencer;
  readonly signal: AbortSignal;
}

/** Entries of an image's source: its root and the image. */
const entries = 2;

/** Submits all jobs of an image. Returns the number after its last entry. */
export async function submitImage({ image }: ImageRoot, run: ImageRun): Promise<number> {
  const { source, firstEntry, sequencer, pool } = run;
  const plan = planLargeFile(image.runs, image.size);
  const padding = -sumOfSegments(plan.segments) & 511;
  const slices = cutSlices(plan, run.blockSize);
  let next = slices.next();
  while (next.done !== true) {
    const slice: Slice = next.value;
    next = slices.next();
    const isLast = next.done === true;
    run.signal.throwIfAborted();
    const slot = await sequencer.acquireSlot();
    const input = {
      fd: image.fd,
      directFd: image.directFd,
      ...slice,
      padding: isLast ? padding : 0,
      slot: sequencer.slotBuffer(slot),
    };
    const { name, mtime, size } = image;
    const result =
      slice.start > 0
        ? pool.run("imageSlice", input)
        : pool.run("image", {
            ...input,
            firstEntry,
            prefix: run.prefix,
            name,
            uid: process.geteuid?.() ?? 0,
            gid: process.getegid?.() ?? 0,
            mtime,
            size,
            runs: plan.segments,
          });
    const part = { entry: firstEntry + 1, size, path: name, fileOffset: slice.start, isLast };
    sequencer.push({ source, slot, ancestorsOf: () => [], result, part });
  }
  return firstEntry + entries;
}
