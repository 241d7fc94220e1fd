// Used blocks of xfs: everything but what the free-space B-tree by block number (bnobt) of each allocation group lists. Layouts: struct xfs_agf,
// xfs_btree_block, xfs_alloc_rec (Linux fs/xfs/libxfs/xfs_format.h), big-endian. Each tree must hold as much as its group's header says, and all
// together what the superblock says.

import { MetadataFlaw, readExactly } from "../exact.ts";
import { crc32c } from "../crc32c.ts";
import { Fields } from "../fields.ts";
import type { ByteReader } from "../reader.ts";
import { readXfs } from "../superblock/xfs.ts";
import { type AllocationMap, mapRunsMax } from "./map.ts";
import { RunBuilder } from "./runs.ts";
import { isLogClean } from "./xfs-log.ts";

interface XfsGeometry {
  readonly isVersion5: boolean;
  readonly blockSize: number;
  readonly sectorSize: number;
  readonly blockCount: number;
  readonly agBlocks: number;
}

/** XFS_BTREE_MAXLEVELS. */
const levelsMax = 9;
/** XFS_SB_FEAT_INCOMPAT_*: ftype sparse meta_uuid bigtime nrext64 exchange parent metadir; needsrepair and zoned are not among them. */
const knownIncompat = 0x1 | 0x2 | 0x4 | 0x8 | 0x20 | 0x40 | 0x80 | 0x100;
/** finobt rmapbt reflink inobtcount */
const knownRoCompat = 0xf;

/** Throws MetadataFlaw where the books cannot be trusted. */
export function mapXfs(reader: ByteReader): AllocationMap {
  const found = readXfs(reader);
  if (found === undefined) throw new MetadataFlaw("the superblock is not one of xfs");
  const { blockSize, blockCount, parameters } = found;
  if (found.checksumValid === false) throw new MetadataFlaw("the checksum of the superblock is wrong");
  const sb = new Fields(readExactly(reader, 0, 512, "the superblock"), "big");
  const isVersion5 = parameters.version === 5;
  if (isVersion5) refuseUnknown(sb);
  if (blockCount * blockSize > reader.sizeBytes) {
    throw new MetadataFlaw(
      `the file system (${blockCount * blockSize} bytes) is larger than the device (${reader.sizeBytes})`,
    );
  }
  if (parameters.externalLog) throw new MetadataFlaw("its log lies on another device");
  if (!isLogClean(reader, sb)) throw new MetadataFlaw("its log has not been replayed");

  const { agCount, agBlocks, sectorSizeBytes } = parameters;
  const geometry = { isVersion5, blockSize, sectorSize: sectorSizeBytes, blockCount, agBlocks };
  const runs = new RunBuilder(mapRunsMax);
  let free = 0;
  for (let ag = 0; ag < agCount; ag++) free += mapGroup(reader, geometry, ag, runs);
  const claimed = sb.count(144);
  if (free !== claimed)
    throw new MetadataFlaw(`its allocation groups have ${free} free blocks, its superblock ${claimed}`);
  return { runs: runs.finish(), endBytes: blockCount * blockSize };
}

function refuseUnknown(sb: Fields): void {
  const unknown = [
    ["incompatible", sb.u32(216) & ~knownIncompat],
    ["read-only compatible", sb.u32(212) & ~knownRoCompat],
  ] as const;
  for (const [kind, bits] of unknown) {
    if (bits !== 0)
      throw new MetadataFlaw(`it has ${kind} features that are not known here (0x${(bits >>> 0).toString(16)})`);
  }
}

/** Adds the used runs of one group; returns the free blocks that the superblock counts: free space, free list, and blocks of the free-space trees. */
function mapGroup(reader: ByteReader, geometry: XfsGeometry, ag: number, runs: RunBuilder): number {
  const { blockSize, sectorSize, agBlocks, blockCount, isVersion5 } = geometry;
  const start = ag * agBlocks;
  const length = Math.min(agBlocks, blockCount - start);
  const what = `the free space header of group ${ag}`;
  const bytes = readExactly(reader, start * blockSize + sectorSize, sectorSize, what);
  const agf = new Fields(bytes, "big");
  if (!agf.is(0, "XAGF") || agf.u32(8) !== ag || agf.u32(12) !== length) throw new MetadataFlaw(`${what} is not one`);
  if (isVersion5) proveChecksum(bytes, 216, what); // agf_crc
  const walk = new FreeWalk(reader, geometry, ag, length, runs);
  walk.node(agf.u32(16), agf.u32(28) - 1, undefined); // agf_roots[0], agf_levels[0]
  walk.finish();
  const freeBlocks = agf.u32(52);
  if (walk.freeBlocks !== freeBlocks) {
    throw new MetadataFlaw(
      `the free space tree of group ${ag} has ${walk.freeBlocks} blocks, its header ${freeBlocks}`,
    );
  }
  return freeBlocks + agf.u32(48) + agf.u32(60); // agf_flcount, agf_btreeblks
}

/** Walks one tree in order: what lies between its records is used. */
class FreeWalk {
  freeBlocks = 0;
  readonly #reader: ByteReader;
  readonly #geometry: XfsGeometry;
  readonly #ag: number;
  readonly #length: number;
  readonly #runs: RunBuilder;
  /** Block of the group up to which all is known. */
  #at = 0;

  constructor(reader: ByteReader, geometry: XfsGeometry, ag: number, length: number, runs: RunBuilder) {
    this.#reader = reader;
    this.#geometry = geometry;
    this.#ag = ag;
    this.#length = length;
    this.#runs = runs;
  }

  /**
   * A node and what is below it. Its first key must be that of its parent, and no record may begin before the one before it ended: so no node is walked
   * twice, whatever the pointers say.
   */
  node(block: number, level: number, firstKey: number | undefined): void {
    const { blockSize, agBlocks, isVersion5 } = this.#geometry;
    const what = `block ${block} of the free space tree of group ${this.#ag}`;
    if (level < 0 || level >= levelsMax || block === 0 || block >= this.#length) {
      throw new MetadataFlaw(`${what} has an impossible place`);
    }
    const bytes = readExactly(this.#reader, (this.#ag * agBlocks + block) * blockSize, blockSize, what);
    const node = new Fields(bytes, "big");
    const headerLength = isVersion5 ? 56 : 16;
    const recordLength = level === 0 ? 8 : 12;
    const count = node.u16(6);
    if (!node.is(0, isVersion5 ? "AB3B" : "ABTB") || node.u16(4) !== level)
      throw new MetadataFlaw(`${what} is not one`);
    if (isVersion5) {
      if (node.u32(48) !== this.#ag) throw new MetadataFlaw(`${what} belongs to another group`);
      proveChecksum(bytes, 52, what);
    }
    const countMax = Math.floor((blockSize - headerLength) / recordLength);
    if (count > countMax || (count === 0 && (firstKey !== undefined || level > 0))) {
      throw new MetadataFlaw(`${what} has ${count} records`);
    }
    if (firstKey !== undefined && node.u32(headerLength) !== firstKey) {
      throw new MetadataFlaw(`${what} does not begin where its parent says`);
    }
    for (let i = 0; i < count; i++) {
      const at = headerLength + i * 8;
      if (level === 0) this.#record(node.u32(at), node.u32(at + 4), what);
      else this.node(node.u32(headerLength + countMax * 8 + i * 4), level - 1, node.u32(at));
    }
  }

  /** The rest of the group is used. */
  finish(): void {
    this.#used(this.#length);
  }

  #record(start: number, count: number, what: string): void {
    if (start < this.#at || count === 0 || start + count > this.#length) {
      throw new MetadataFlaw(`${what} lists blocks ${start} to ${start + count}, which cannot be`);
    }
    this.#used(start);
    this.#at = start + count;
    this.freeBlocks += count;
  }

  #used(end: number): void {
    const { blockSize, agBlocks } = this.#geometry;
    this.#runs.add((this.#ag * agBlocks + this.#at) * blockSize, (end - this.#at) * blockSize);
    this.#at = end;
  }
}

/** xfs_verify_cksum(): CRC-32C of the whole, its own field (little-endian) taken as zero. */
function proveChecksum(bytes: Uint8Array, offset: number, what: string): void {
  const stored = new Fields(bytes).u32(offset);
  const zeroed = bytes.slice();
  zeroed.fill(0, offset, offset + 4);
  if (crc32c(zeroed) !== stored) throw new MetadataFlaw(`the checksum of ${what} is wrong`);
}
