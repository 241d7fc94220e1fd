// A small archive whose parts are known by the names that stand in them: for tests that take it apart.

import { createDigest } from "../../src/codec/digest.ts";
import type { Completion } from "../../src/model/catalog.ts";
import { directory, file, fileDigest, type ForgedEntry, type ForgedGroup, hardlink, root } from "../support/forge.ts";
import { recordsOf } from "../support/patch.ts";
import { noise } from "../support/trees.ts";

const megabyte = 1 << 20;
const large = Buffer.concat([noise(3000, 99), Buffer.alloc(2 * megabyte, "pattern "), noise(3000, 98)]);

/** A record, with the frame that follows it. */
export interface Part {
  readonly type: number;
  readonly start: number;
  readonly end: number;
  /** Blocks: the names of their entries. Segments: those of all their blocks. */
  readonly names: readonly string[];
}

/** Three groups of three blocks; a file of three blocks; a hard link across groups. */
export async function groupsOf(prefix: string): Promise<ForgedGroup[]> {
  const digest = await createDigest("xxh128");
  const names = (group: string): ForgedEntry[][] =>
    ["1", "2", "3"].map((block) =>
      ["a", "b"].map((name) => file(1, `${group}${block}${name}`, noise(3000, prefix.length + group.length))),
    );
  const linked = file(1, "k-linked", "linked", { row: { linked: true } });
  const [first, second, third] = names("d");
  const middle: ForgedEntry = file(1, "l-large", large, { contentHere: megabyte });
  const entry = 9;
  const completion: Completion = {
    entry,
    damaged: false,
    changed: false,
    digest: fileDigest(digest, large),
    damagedRanges: [],
  };
  return [
    {
      blocks: [
        { entries: [root, directory(1, "c"), ...(first ?? [])] },
        { entries: second ?? [] },
        { entries: third ?? [] },
      ],
    },
    {
      blocks: [
        { entries: [linked, middle] },
        { slice: large.subarray(megabyte, 2 * megabyte), record: { continuation: { entry, fileOffset: megabyte } } },
        { slice: large.subarray(2 * megabyte), record: { continuation: { entry, fileOffset: 2 * megabyte } } },
      ],
      ancestors: [""],
      completions: [completion],
    },
    {
      blocks: [
        ...names("m").map((entries) => ({ entries })),
        { entries: [hardlink(1, "z-link", "./k-linked", entry - 1)] },
      ],
      ancestors: [""],
    },
  ];
}

export function partsOf(archive: Buffer): Part[] {
  const records = recordsOf(archive);
  const blocks = [
    ["c", "d1a", "d1b", ""],
    ["d2a", "d2b"],
    ["d3a", "d3b"],
    ["k-linked", "l-large", "z-link"],
    ["l-large"],
    ["l-large"],
    ["m1a", "m1b"],
    ["m2a", "m2b"],
    ["m3a", "m3b"],
    ["z-link"],
    [],
  ];
  let block = 0;
  let group: string[] = [];
  return records.map(({ offset, type }, index) => {
    let names: string[] = [];
    if (type === 2) {
      names = blocks[block++] ?? [];
      group.push(...names);
    } else if (type === 3) {
      names = group;
      group = [];
    }
    return { type, start: offset, end: records[index + 1]?.offset ?? archive.length, names };
  });
}

export function isOf({ names }: Part, path: string): boolean {
  return names.includes(path);
}
