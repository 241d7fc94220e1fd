// Where the blocks of an inode are: extent trees (struct ext4_extent_header and kin, Linux fs/ext4/ext4_extents.h) and the block maps of ext2 and ext3.
// A walk visits the mapped runs of a range in order of the file. It ends whatever the tree says: each level lies below the one before, and the
// runs ascend without overlap; no block of pointers is read twice, and no more blocks are mapped than the file system has.

import { viewOf } from "../../base/bytes.ts";
import { crc32cRaw } from "../crc32c.ts";
import type { ExtDevice } from "./device.ts";
import { roCompat } from "./features.ts";
import { damaged, wrongChecksum } from "./flaw.ts";
import type { ExtGeometry } from "./geometry.ts";
import { type ExtInode, inodeFlags, mapBytes, mapField, wide } from "./inode.ts";

/** A run of blocks: place in the file, length, place on the device. Unwritten ones read as zeros. */
export type RunVisitor = (logical: number, length: number, physical: number, unwritten: boolean) => void;

interface Walk {
  readonly device: ExtDevice;
  readonly geometry: ExtGeometry;
  readonly inode: ExtInode;
  /** Blocks of the file: [start, end). */
  readonly start: number;
  readonly end: number;
  readonly visit: RunVisitor;
  /** Blocks visited. */
  mapped: number;
}

/** Bytes of a node of an extent tree. */
interface Node {
  readonly view: DataView;
  readonly at: number;
  readonly length: number;
}

/** Of a block map: the run that grows while pointers follow one another, and the blocks of pointers read so far. */
interface MapWalk extends Walk {
  readonly pending: { logical: number; length: number; physical: number };
  readonly pointerBlocks: Set<number>;
}

const extentMagic = 0xf30a;
const headerBytes = 12;
const itemBytes = 12;
const depthMax = 5; // EXT4_MAX_EXTENT_DEPTH
const initialisedMax = 32_768; // EXT_INIT_MAX_LEN
const directPointers = 12; // EXT4_NDIR_BLOCKS

/** Visits the mapped runs that begin below block `end` of the file and end above `start`, cut to that range. Throws ExtFlaw. */
export function walkRuns(
  device: ExtDevice,
  geometry: ExtGeometry,
  inode: ExtInode,
  start: number,
  end: number,
  visit: RunVisitor,
): void {
  const walk: Walk = { device, geometry, inode, start, end, visit, mapped: 0 };
  if ((inode.flags & inodeFlags.extents) !== 0) {
    walkExtents(walk, { view: inode.view, at: inode.at + mapField, length: mapBytes }, 0, 2 ** 32);
  } else walkPointers({ ...walk, pending: { logical: 0, length: 0, physical: 0 }, pointerBlocks: new Set() });
}

function found(walk: Walk, logical: number, length: number, physical: number, unwritten: boolean): void {
  const { geometry, inode } = walk;
  if (physical < Math.max(1, geometry.firstDataBlock) || physical + length > geometry.blockCount) {
    throw damaged(`inode ${inode.number} has blocks outside of the file system (${physical}, ${length})`);
  }
  const from = Math.max(logical, walk.start);
  const to = Math.min(logical + length, walk.end);
  if (to <= from) return;
  walk.mapped += to - from;
  if (walk.mapped > geometry.blockCount) throw damaged(`inode ${inode.number} has more blocks than the file system`);
  walk.visit(from, to - from, physical + from - logical, unwritten);
}

/** A node of the tree, whose runs lie in blocks [low, high) of the file. */
function walkExtents(walk: Walk, node: Node, low: number, high: number): void {
  const { view, at, length } = node;
  const entries = view.getUint16(at + 2, true);
  const most = view.getUint16(at + 4, true);
  const depth = view.getUint16(at + 6, true);
  if (
    view.getUint16(at, true) !== extentMagic ||
    entries > most ||
    headerBytes + most * itemBytes > length ||
    depth > depthMax ||
    (depth > 0 && entries === 0)
  ) {
    throw impossibleNode(walk);
  }
  if (depth === 0) walkLeaf(walk, node, entries, low, high);
  else walkIndex(walk, node, entries, depth, low, high);
}

function walkLeaf(walk: Walk, { view, at }: Node, entries: number, low: number, high: number): void {
  let floor = low;
  const end = at + headerBytes + entries * itemBytes;
  for (let entry = at + headerBytes; entry < end; entry += itemBytes) {
    const logical = view.getUint32(entry, true);
    if (logical < floor || logical >= high) throw damaged(`${treeOf(walk)} is not in order`);
    const field = view.getUint16(entry + 4, true);
    const unwritten = field > initialisedMax;
    const length = unwritten ? field - initialisedMax : field;
    if (length === 0 || logical + length > high) throw damaged(`${treeOf(walk)} has a run that cannot be`);
    floor = logical + length;
    const physical = wide(view.getUint32(entry + 8, true), view.getUint16(entry + 6, true));
    found(walk, logical, length, physical, unwritten);
    if (floor >= walk.end) return;
  }
}

function walkIndex(walk: Walk, { view, at }: Node, entries: number, depth: number, low: number, high: number): void {
  let floor = low;
  for (let i = 0; i < entries; i++) {
    const entry = at + headerBytes + i * itemBytes;
    const logical = view.getUint32(entry, true);
    if (logical < floor || logical >= high) throw damaged(`${treeOf(walk)} is not in order`);
    const next = i + 1 < entries ? view.getUint32(entry + itemBytes, true) : high;
    floor = logical + 1;
    if (next < floor) throw damaged(`${treeOf(walk)} is not in order`);
    if (next <= walk.start) continue;
    if (logical >= walk.end) return;
    const child = wide(view.getUint32(entry + 4, true), view.getUint16(entry + 8, true));
    const bytes = readNode(walk, child, treeOf(walk));
    const below = viewOf(bytes);
    if (below.getUint16(2, true) === 0 || below.getUint16(6, true) !== depth - 1) throw impossibleNode(walk);
    walkExtents(walk, { view: below, at: 0, length: bytes.length }, logical, next);
  }
}

function impossibleNode(walk: Walk): Error {
  return damaged(`${treeOf(walk)} has a node that cannot be`);
}

function treeOf({ inode }: Walk): string {
  return `the extent tree of inode ${inode.number}`;
}

/** A node in a block of its own. */
function readNode({ device, geometry, inode }: Walk, block: number, what: string): Uint8Array {
  if (block <= geometry.firstDataBlock || block >= geometry.blockCount)
    throw damaged(`${what} leads out of the file system`);
  const bytes = device.block(block, what);
  if ((geometry.roCompat & roCompat.metadataChecksum) !== 0) {
    const view = viewOf(bytes);
    const tail = headerBytes + itemBytes * view.getUint16(4, true); // ext4_extent_tail
    if (tail + 4 > bytes.length) throw damaged(`${what} has a node that cannot be`);
    if (crc32cRaw(inode.checksumSeed(), bytes, tail) !== view.getUint32(tail, true)) throw wrongChecksum(what);
  }
  return bytes;
}

/** Twelve blocks, then one, two and three levels of blocks of pointers. */
function walkPointers(walk: MapWalk): void {
  const { map } = walk.inode;
  const view = viewOf(map);
  for (let i = 0; i < directPointers; i++) pointer(walk, view.getUint32(4 * i, true), i, 0);
  const perBlock = walk.geometry.blockSize / 4;
  let logical = directPointers;
  for (let level = 1; level <= 3; level++) {
    if (logical >= walk.end) break;
    pointer(walk, view.getUint32(4 * (directPointers + level - 1), true), logical, level);
    logical += perBlock ** level;
  }
  flush(walk);
}

function flush(walk: MapWalk): void {
  const { pending } = walk;
  const { logical, length, physical } = pending;
  pending.length = 0;
  if (length > 0) found(walk, logical, length, physical, false);
}

/** What a pointer of a level leads to: the block at `logical` (level 0), or a block of pointers. */
function pointer(walk: MapWalk, block: number, logical: number, level: number): void {
  const { geometry, device, inode, pending, pointerBlocks } = walk;
  const perBlock = geometry.blockSize / 4;
  if (block === 0 || logical >= walk.end || logical + perBlock ** level <= walk.start) return;
  if (level === 0) {
    const follows = pending.length > 0 && logical === pending.logical + pending.length;
    if (follows && block === pending.physical + pending.length) {
      pending.length++;
      return;
    }
    flush(walk);
    pending.logical = logical;
    pending.length = 1;
    pending.physical = block;
    return;
  }
  const what = `the block map of inode ${inode.number}`;
  if (block <= geometry.firstDataBlock || block >= geometry.blockCount)
    throw damaged(`${what} leads out of the file system`);
  if (pointerBlocks.has(block)) throw damaged(`${what} holds a block twice`);
  pointerBlocks.add(block);
  const bytes = device.block(block, what);
  const view = viewOf(bytes);
  const step = perBlock ** (level - 1);
  const first = Math.max(0, Math.floor((walk.start - logical) / step));
  for (let i = first; i < perBlock; i++) {
    if (logical + i * step >= walk.end) break;
    const below = view.getUint32(4 * i, true);
    if (below !== 0) pointer(walk, below, logical + i * step, level - 1);
  }
}
