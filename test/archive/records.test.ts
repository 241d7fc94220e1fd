// The walk over records: whole ones in order, damage told once and gone around.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Damage } from "../../src/archive/damage.ts";
import { openInput } from "../../src/archive/input.ts";
import { RecordWalker } from "../../src/archive/records.ts";
import { utf8 } from "../../src/base/bytes.ts";
import { xxh64 } from "../../src/format/checksum.ts";
import { encodeRecord, RecordType } from "../../src/format/record.ts";

const id = new Uint8Array(16).fill(7);
const other = new Uint8Array(16).fill(9);
const record = (sequence: number, archiveId = id): Uint8Array =>
  encodeRecord(RecordType.summary, archiveId, sequence, utf8(`{"n":${sequence}}`));
const three = [record(0), record(1), record(2)] as const;

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "tsfsa-records-"));
});
afterAll(() => rmSync(dir, { recursive: true }));

/** Sequence numbers found (with a `!` after a gap), and offsets of damage. */
async function walk(parts: readonly Uint8Array[], anyOrder = false): Promise<readonly [string[], number[]]> {
  const path = join(dir, "archive");
  writeFileSync(path, Buffer.concat(parts));
  const input = openInput(path);
  const damages: Damage[] = [];
  const walker = new RecordWalker(input, (damage) => damages.push(damage), anyOrder);
  if (!anyOrder) walker.follow(id, -1);
  const found: string[] = [];
  for (let next = await walker.next(); next !== undefined; next = await walker.next()) {
    found.push(`${next.header.sequence}${next.afterGap ? "!" : ""}`);
    expect(Buffer.from(parts.length === 0 ? [] : next.bytes.subarray(64)).equals(next.payload)).toBe(true);
  }
  await input.close();
  return [found, damages.map(({ offset }) => offset)];
}

describe("RecordWalker", () => {
  const length = three[0].length;

  it("gives out records in order, and passes over zeros behind them", async () => {
    expect(await walk(three)).toEqual([["0", "1", "2"], []]);
    expect(await walk([...three, new Uint8Array(3_000_000)])).toEqual([["0", "1", "2"], []]);
    expect(await walk([])).toEqual([[], []]);
  });

  it("finds the next record behind bytes that are none, wherever it begins", async () => {
    for (const size of [1, 63, 64, 65, 4096, (1 << 20) - 1, 1 << 20, (1 << 20) + 40]) {
      const rubbish = new Uint8Array(size).fill(0x8f);
      expect(await walk([three[0], rubbish, three[1]]), `${size} bytes`).toEqual([["0", "1!"], [length]]);
    }
  });

  it("passes over a record whose header or payload is damaged", async () => {
    for (const at of [0, 9, 20, 45, 60, 70]) {
      const damaged = three[1].slice();
      damaged[at] = (damaged[at] as number) ^ 1;
      expect(await walk([three[0], damaged, three[2]]), `byte ${at}`).toEqual([["0", "2!"], [length]]);
    }
  });

  it("tells of a record that is missing, doubled, out of order or of another archive", async () => {
    expect(await walk([three[0], three[2]])).toEqual([["0", "2!"], [length]]);
    expect(await walk([three[0], three[0], three[1]])).toEqual([["0", "1!"], [length]]);
    expect(await walk([three[1], three[0], three[2]])).toEqual([
      ["1!", "2!"],
      [0, length],
    ]);
    expect(await walk([three[0], record(1, other), three[1]])).toEqual([["0", "1!"], [length]]);
  });

  it("finds a record inside of one that was cut short", async () => {
    expect(await walk([three[0], three[1].subarray(0, 66), three[2]])).toEqual([["0", "2!"], [length]]);
  });

  it("takes whole records of any archive in any order when asked", async () => {
    const [found] = await walk([three[2], record(5, other), three[0], three[0], three[1]], true);
    expect(found).toEqual(["2", "5", "0", "0", "1"]);
  });

  // Each of the headers was believed to have all the MiB behind it as its payload, and all of that was summed for each of them; nothing heard a signal.
  it("hears signals in headers in a row that all claim what follows, and looks at that only so often", async () => {
    const claimed = 32 << 20;
    const header = encodeRecord(RecordType.segment, id, 0, new Uint8Array(claimed)).slice(0, 64);
    const headers = Array.from({ length: 2000 }, (_, sequence) => {
      const bytes = header.slice();
      new DataView(bytes.buffer).setBigUint64(40, BigInt(sequence), true);
      bytes.set(xxh64(bytes.subarray(0, 56)), 56);
      return bytes;
    });
    const path = join(dir, "headers");
    writeFileSync(path, Buffer.concat([...headers, new Uint8Array(claimed).fill(1)]));
    const abort = new AbortController();
    const input = openInput(path, abort.signal);
    const damages: Damage[] = [];
    const walker = new RecordWalker(input, (damage) => damages.push(damage));
    walker.follow(id, -1);
    const start = performance.now();
    setTimeout(() => abort.abort("stopped"), 50);
    await expect(walker.next()).rejects.toBe("stopped");
    expect(performance.now() - start).toBeLessThan(5000);
    await input.close();
    // 32 payloads to look for records in, and one that is passed over as a whole.
    const again = openInput(path);
    const unheard = new RecordWalker(again, (damage) => damages.push(damage));
    unheard.follow(id, -1);
    damages.length = 0;
    expect(await unheard.next()).toBeUndefined();
    expect(damages.length).toBeLessThan(40);
    await again.close();
  }, 120_000);
});
