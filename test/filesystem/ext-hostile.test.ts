// Damaged and hostile ext images: whatever the bytes say, the reader ends, says what it met as an errno, and reads nothing outside of the device.

import { closeSync, mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MetadataFlaw } from "../../src/filesystem/exact.ts";
import { ExtFilesystem } from "../../src/filesystem/ext/filesystem.ts";
import { ExtTree } from "../../src/filesystem/ext/tree.ts";
import type { RandomAccess } from "../../src/filesystem/random-access.ts";
import { EntryKind } from "../../src/model/entry.ts";
import { O_DIRECTORY, O_NOFOLLOW } from "../../src/sys/constants.ts";
import { gatherLayout, statLayout } from "../../src/sys/layout.ts";
import { Lab } from "../support/images.ts";
import { must } from "../support/run.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
const lab = new Lab();
afterAll(() => lab.close());

interface Sample {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Blocks of metadata, where flips tell most. */
  readonly metadata: readonly number[];
  readonly blockSize: number;
}

const samples: Sample[] = [];

beforeAll(async () => {
  const tree = lab.folder("tree");
  for (let i = 0; i < 60; i++) writeFileSync(join(tree, `file with a name to fill blocks ${i}`), `${i}`.repeat(i * 10));
  mkdirSync(join(tree, "a/b/c"), { recursive: true });
  writeFileSync(join(tree, "a/b/large"), Buffer.alloc(300 * KiB, "large"));
  symlinkSync("x".repeat(200), join(tree, "a/slow"));
  symlinkSync("fast", join(tree, "a/fast"));
  const sparse = openSync(join(tree, "a/sparse"), "w");
  closeSync(sparse);
  for (let i = 0; i < 40; i++) {
    await must([
      "dd",
      "if=/dev/zero",
      `of=${join(tree, "a/sparse")}`,
      "bs=1k",
      "count=1",
      `seek=${i * 3}`,
      "conv=notrunc",
      "status=none",
    ]);
  }
  for (const [name, ...options] of [
    ["without checksums", "-t", "ext4", "-O", "^metadata_csum,^has_journal"],
    ["with checksums", "-t", "ext4"],
    ["ext2", "-t", "ext2"],
    ["inline", "-t", "ext4", "-I", "256", "-O", "inline_data,^metadata_csum,^has_journal"],
  ] as const) {
    const image = lab.image("sample", 2 * MiB);
    await must(["mke2fs", "-q", "-F", "-b", "1024", "-N", "128", ...options, "-d", tree, image]);
    const bytes = readFileSync(image);
    const metadata: number[] = [];
    for (let block = 1; block < bytes.length / 1024; block++) {
      const content = bytes.subarray(block * 1024, (block + 1) * 1024);
      const isText = content.every((byte) => byte === content[0] || byte >= 0x20);
      if (!isText) metadata.push(block);
    }
    samples.push({ name, bytes, metadata, blockSize: 1024 });
  }
}, 60_000);

/** Reads from memory, counts, and fails the test where anything outside is asked for. */
class GuardedAccess implements RandomAccess {
  readonly sizeBytes: number;
  readonly #bytes: Uint8Array;
  read = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.sizeBytes = bytes.length;
  }

  readInto(target: Uint8Array, at: number, length: number, position: number): void {
    if (!Number.isSafeInteger(position) || position < 0 || length < 0 || position + length > this.sizeBytes) {
      throw new Error(`asked for ${length} bytes at ${position} of ${this.sizeBytes}`);
    }
    this.read += length;
    if (this.read > 2000 * MiB) throw new Error("reads without end");
    target.set(this.#bytes.subarray(position, position + length), at);
  }
}

interface Walked {
  entries: number;
  failed: number;
  bytes: number;
}

const noName = new Uint8Array(0);
const entriesMax = 20_000;

/** Does all that a save does with every entry that can be reached. Undefined: the file system was refused as a whole. */
function walk(bytes: Uint8Array): Walked | undefined {
  let tree: ExtTree;
  try {
    tree = new ExtTree(ExtFilesystem.open(new GuardedAccess(bytes)));
  } catch (error) {
    if (error instanceof MetadataFlaw) return undefined;
    throw error;
  }
  const walked: Walked = { entries: 0, failed: 0, bytes: 0 };
  const pending: { readonly fd: number; readonly depth: number }[] = [{ fd: 2, depth: 0 }];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const names = tree.readDirectory(next.fd);
    if (typeof names === "number") {
      walked.failed++;
      continue;
    }
    for (let at = 0; at < names.length; ) {
      const end = at + 2 + (names[at + 1] as number);
      const name = names.slice(at + 2, end);
      at = end;
      if (++walked.entries > entriesMax) throw new Error("the walk has no end");
      const kind = visit(tree, next.fd, name, walked);
      if (kind !== EntryKind.directory) continue;
      const fd = tree.openAt(next.fd, name, O_DIRECTORY | O_NOFOLLOW);
      if (fd >= 0 && next.depth < 1000) pending.push({ fd, depth: next.depth + 1 });
      else walked.failed++;
    }
  }
  return walked;
}

const kindOfType: Readonly<Record<number, EntryKind>> = {
  0x8000: EntryKind.file,
  0xa000: EntryKind.symlink,
  0x4000: EntryKind.directory,
  0x2000: EntryKind.charDevice,
  0x6000: EntryKind.blockDevice,
  0x1000: EntryKind.fifo,
  0xc000: EntryKind.socket,
};
const gathered = new Uint8Array(256 * KiB);
const content = new Uint8Array(512 * KiB);

function visit(tree: ExtTree, dirFd: number, name: Uint8Array, walked: Walked): EntryKind | undefined {
  const stat = new Uint8Array(statLayout.size);
  const packed = Buffer.concat([Buffer.from([0, name.length]), name]);
  expect(tree.statNames(dirFd, packed, 0, 1, stat)).toBe(packed.length);
  const view = new DataView(stat.buffer);
  const kind = kindOfType[view.getUint32(statLayout.mode, true) & 0xf000];
  if (view.getUint32(statLayout.error, true) !== 0 || kind === undefined) {
    walked.failed++;
    return undefined;
  }
  packed[0] = kind;
  const fds = new Int32Array(1);
  const done = tree.gather(Int32Array.of(dirFd), packed, 0, 1, gathered, fds);
  const failed = done !== 1 || new DataView(gathered.buffer).getUint32(gatherLayout.error, true) !== 0;
  if (failed) walked.failed++;
  const fd = fds[0] as number;
  if (kind !== EntryKind.file || failed || fd < 0) return kind;
  const size = Number(view.getBigInt64(statLayout.sizeBytes, true));
  tree.dataMap(fd, size, 1000);
  tree.extentMap(fd, 0, Number.MAX_SAFE_INTEGER, false, 1000);
  const last = Math.max(0, size - content.length);
  if (tree.read(fd, content, 0, content.length, last) < 0) walked.failed++;
  const status = new Float64Array(1);
  tree.readFiles(
    fds,
    Float64Array.of(Math.min(size, content.length)),
    Float64Array.of(0),
    1,
    content,
    noName,
    status,
    noName,
  );
  if ((status[0] as number) < 0) walked.failed++;
  walked.bytes += Math.max(0, status[0] as number);
  return kind;
}

function patched(bytes: Uint8Array, changes: readonly (readonly [at: number, ...values: number[]])[]): Uint8Array {
  const copy = Uint8Array.from(bytes);
  for (const [at, ...values] of changes) copy.set(values, at);
  return copy;
}

/** Where an inode stands in an image of one group. */
function inodeAt(bytes: Uint8Array, number: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return view.getUint32(2048 + 8, true) * 1024 + (number - 1) * view.getUint16(1024 + 0x58, true);
}

async function inodeOf(image: Uint8Array, path: string): Promise<number> {
  const file = lab.path("look.img");
  writeFileSync(file, image);
  const { stdout } = await must(["debugfs", "-R", `stat ${path}`, file]);
  return Number(/Inode: (\d+)/.exec(stdout.toString())?.[1]);
}

function sample(name: string): Sample {
  return samples.find((each) => each.name === name) as Sample;
}

describe("the reader of damaged ext images", () => {
  it("reads them all while they are whole", () => {
    for (const { bytes, name } of samples) {
      const walked = walk(bytes);
      expect(walked?.failed, name).toBe(0);
      expect(walked?.entries, name).toBe(68);
    }
  });

  it.each(["without checksums", "with checksums", "ext2", "inline"])(
    "ends and stays inside, whatever flips: %s",
    (name) => {
      const { bytes, metadata } = sample(name);
      const place = fc.record({
        block: fc.nat(metadata.length - 1),
        offset: fc.nat(1023),
        value: fc.oneof(fc.constantFrom(0, 0xff, 1, 0x80), fc.nat(255)),
      });
      fc.assert(
        fc.property(fc.array(place, { minLength: 1, maxLength: 40 }), (flips) => {
          walk(
            patched(
              bytes,
              flips.map(({ block, offset, value }) => [(metadata[block] as number) * 1024 + offset, value]),
            ),
          );
        }),
        { seed: 20_261_121, numRuns: 100 },
      );
    },
  );

  it("sees every flipped byte of an inode by its checksum", async () => {
    const { bytes } = sample("with checksums");
    const at = inodeAt(bytes, await inodeOf(bytes, "/a/b/large"));
    const whole = walk(bytes);
    for (let i = 0; i < 160; i += 3) {
      const walked = walk(patched(bytes, [[at + i, (bytes[at + i] as number) ^ 0x10]]));
      expect(walked?.failed, `byte ${i}`).toBeGreaterThan(whole?.failed ?? 0);
    }
  });

  it("enters no directory twice: a name that leads back up, and two names for one directory", async () => {
    const { bytes } = sample("without checksums");
    const [root, b, c] = [2, await inodeOf(bytes, "/a/b"), await inodeOf(bytes, "/a/b/c")];
    const blockOf = (number: number): number => {
      const map = inodeAt(bytes, number) + 40;
      return new DataView(bytes.buffer, bytes.byteOffset).getUint32(map + 20, true) * 1024;
    };
    // In c, after `.` and `..`: a long entry that is taken for a directory above.
    for (const target of [root, b, c]) {
      const at = blockOf(c) + 24;
      const up = [target, 0, 0, 0, 1000 & 0xff, 1000 >> 8, 1, 2, 0x75, 0, 0, 0];
      const dotdot: [number, number, number] = [blockOf(c) + 12 + 4, 12, 0];
      const walked = walk(patched(bytes, [dotdot, [at, ...up]]));
      expect(walked?.failed).toBe(1);
      expect(walked?.entries).toBe(69);
    }
  });

  it("refuses extent trees that go in circles, overlap or lead outside", async () => {
    const { bytes } = sample("without checksums");
    const map = inodeAt(bytes, await inodeOf(bytes, "/a/b/large")) + 40;
    const run = map + 12;
    const cases: readonly (readonly [string, ...(readonly [number, ...number[]])[]])[] = [
      ["a run beyond the device", [run + 8, 0xff, 0xff, 0xff, 0x7f]],
      ["a run in the superblock's place", [run + 8, 0, 0, 0, 0]],
      ["a run of no length", [run + 4, 0, 0]],
      ["more entries than room", [map + 2, 9, 0]],
      ["a tree deeper than any", [map + 6, 6, 0]],
      ["a node that is no node", [map + 6, 1, 0]],
      ["overlapping runs", [map + 2, 2, 0], [run + 12, 0, 0, 0, 0, 4, 0, 0, 0, 200, 0, 0, 0]],
      ["no header", [map, 0, 0]],
    ];
    for (const [what, ...changes] of cases) {
      const walked = walk(patched(bytes, changes));
      expect(walked?.failed, what).toBeGreaterThan(0);
      expect(walked?.entries, what).toBe(68);
    }
  });

  it("refuses block maps that hold a block of pointers twice", async () => {
    const { bytes } = sample("ext2");
    const at = inodeAt(bytes, await inodeOf(bytes, "/a/b/large"));
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const double = view.getUint32(at + 40 + 13 * 4, true);
    const single = view.getUint32(at + 40 + 12 * 4, true);
    expect(double).toBeGreaterThan(0);
    const walked = walk(patched(bytes, [[double * 1024, single & 0xff, single >> 8, 0, 0]]));
    expect(walked?.failed).toBeGreaterThan(0);
  });

  it("refuses sizes that no device has", () => {
    const { bytes } = sample("without checksums");
    expect(walk(patched(bytes, [[1024 + 4, 0xff, 0xff, 0xff, 0x7f]]))).toBe(undefined);
    expect(walk(bytes.subarray(0, MiB))).toBe(undefined);
    expect(walk(new Uint8Array(MiB))).toBe(undefined);
  });
});
