// Every byte of a small archive flipped, every length it can be cut to. TSFSA_TEST_DAMAGE=all tries each, else a sample.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { requireOrSkip } from "../support/require.ts";
import { DamageLab, isExhaustive } from "./damage.ts";

requireOrSkip("root");

/** `stride`: of the sample. */
const kinds: readonly [what: string, words: readonly string[], large: boolean, stride: number][] = [
  ["zstd", ["-z3"], false, 53],
  ["LZ4", ["-z1"], false, 97],
  ["store", ["-z0"], false, 401],
  ["zstd, files of several blocks", ["-z3", "--block-size", "1MiB"], true, 401],
];

describe.each(kinds)("an archive (%s)", (_, words, large, stride) => {
  let lab: DamageLab;
  beforeAll(async () => {
    lab = await DamageLab.open(words, large);
  });
  afterAll(() => lab.close());

  it("is whole before it is damaged, from a file and from a pipe", async () => {
    for (const via of ["file", "pipe"] as const) {
      const { verify, restore, wrong, missing } = await lab.judge(lab.archive, via);
      expect([verify.status, restore.status, wrong, missing]).toEqual([0, 0, [], []]);
    }
  });

  it("with one byte changed is found out, and restores what is whole", async () => {
    const { archive } = lab;
    let tried = 0;
    for (const offset of places(archive.length, stride)) {
      for (const mask of masksAt(offset)) {
        const damaged = Buffer.from(archive);
        damaged[offset] = (damaged[offset] as number) ^ mask;
        const via = offset % 31 === 0 ? "pipe" : "file";
        await lab.expectHonest(damaged, `byte ${offset} of ${archive.length} ^ ${mask} (${via})`, via);
        tried++;
      }
    }
    report("flips", tried);
  }, 3_600_000);

  it("cut to any length is found out, and restores what stands before the cut", async () => {
    const { archive } = lab;
    let tried = 0;
    for (const length of places(archive.length, stride - 8)) {
      const via = length % 31 === 0 ? "pipe" : "file";
      await lab.expectHonest(archive.subarray(0, length), `cut to ${length} of ${archive.length} (${via})`, via);
      tried++;
    }
    report("cuts", tried);
  }, 3_600_000);
});

/** All numbers below the length, or every n-th and those near both ends. */
function places(length: number, stride: number): number[] {
  const all = Array.from({ length }, (_, index) => index);
  return isExhaustive ? all : all.filter((index) => index % stride === 0 || index < 4 || index > length - 4);
}

/** Every bit has its turn. */
function masksAt(offset: number): number[] {
  return isExhaustive && offset % 4 === 0 ? [1 << (offset % 8), 0xff] : [1 << (offset % 8)];
}

function report(what: string, count: number): void {
  if (isExhaustive) console.log(`${count} ${what}`);
}
