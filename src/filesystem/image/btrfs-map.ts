// Used blocks of btrfs on one device: what the extent tree lists, by way of the chunk tree to where it lies (once, or twice with DUP), the copies of
// the superblock, and the first MiB, which is kept for boot loaders. The extents must add up to what the superblock says.

import { MetadataFlaw, readExactly } from "../exact.ts";
import { Fields } from "../fields.ts";
import type { ByteReader } from "../reader.ts";
import { btrfsSuperblockLength, btrfsSuperblockOffset, readBtrfs } from "../superblock/btrfs.ts";
import {
  BtrfsTrees,
  type Chunk,
  chunkItemKey,
  decodeChunk,
  physicalRuns,
  systemChunks,
  type TreeRoot,
} from "./btrfs-tree.ts";
import { type AllocationMap, mapRunsMax } from "./map.ts";
import { RunBuilder } from "./runs.ts";

/** BTRFS_DEVICE_RANGE_RESERVED. */
const reservedBytes = 1024 * 1024;
/** btrfs_sb_offset(). */
const superblockOffsets = [btrfsSuperblockOffset, 64 * 2 ** 20, 256 * 2 ** 30];
/** mixed-backref … metadata-uuid and squota; not zoned, extent-tree-v2, raid-stripe-tree. */
const knownIncompat = 0x7ffn | 0x10000n;
/** free-space-tree free-space-tree-valid verity block-group-tree */
const knownCompatRo = 0xfn;
const extentTree = 2n;
const rootItemKey = 132;
const extentItemKey = 168;
const metadataItemKey = 169;

/** Throws MetadataFlaw where the books cannot be trusted. */
export async function mapBtrfs(reader: ByteReader): Promise<AllocationMap> {
  const found = await readBtrfs(reader);
  if (found === undefined) throw new MetadataFlaw("the superblock is not one of btrfs");
  if (!found.checksumValid) throw new MetadataFlaw("the checksum of the superblock is wrong");
  const sb = new Fields(readExactly(reader, btrfsSuperblockOffset, btrfsSuperblockLength, "the superblock"));
  const { nodeSizeBytes, checksum, deviceCount } = found.parameters;
  const unknown = (sb.u64(188) & ~knownIncompat) | (sb.u64(180) & ~knownCompatRo);
  if (unknown !== 0n) throw new MetadataFlaw(`it has features that are not known here (0x${unknown.toString(16)})`);
  if (deviceCount !== 1) throw new MetadataFlaw(`it lies on ${deviceCount} devices`);
  if (found.needsReplay) throw new MetadataFlaw("its log tree has not been replayed");
  const endBytes = sb.count(209); // dev_item.total_bytes
  if (endBytes > reader.sizeBytes) {
    throw new MetadataFlaw(`the file system (${endBytes} bytes) is larger than the device (${reader.sizeBytes})`);
  }

  const trees = new BtrfsTrees(reader, nodeSizeBytes, checksum, systemChunks(sb, endBytes));
  const chunkRoot = { logical: sb.count(88), level: sb.u8(199), generation: sb.u64(164) }; // chunk_root_generation
  trees.chunks = await readChunks(trees, chunkRoot, endBytes);
  const treeRoot = { logical: sb.count(80), level: sb.u8(198), generation: sb.u64(72) };
  const extentRoot = await findExtentRoot(trees, treeRoot);
  const extents = new RunBuilder(mapRunsMax);
  const used = await readExtents(trees, extentRoot, nodeSizeBytes, extents);
  if (used !== found.usedBytes) {
    throw new MetadataFlaw(`its extents have ${used} bytes, its superblock says ${found.usedBytes}`);
  }
  return { runs: physicalMap(trees.chunks, extents.finish(), endBytes), endBytes };
}

async function readChunks(trees: BtrfsTrees, root: TreeRoot, sizeBytes: number): Promise<Chunk[]> {
  const chunks: Chunk[] = [];
  for await (const { key, leaf, at, length } of trees.items(root, "the chunk tree")) {
    if (key.type !== chunkItemKey) continue;
    if (length < 80) throw new MetadataFlaw("a chunk is too short");
    const chunk = decodeChunk(leaf, at, Number(key.offset), sizeBytes);
    const last = chunks.at(-1);
    if (last !== undefined && last.logical + last.length > chunk.logical) throw new MetadataFlaw("its chunks overlap");
    chunks.push(chunk);
  }
  return chunks;
}

async function findExtentRoot(trees: BtrfsTrees, root: TreeRoot): Promise<TreeRoot> {
  for await (const { key, leaf, at, length } of trees.items(root, "the root tree")) {
    if (key.objectId !== extentTree || key.type !== rootItemKey || length < 239) continue;
    return { logical: leaf.count(at + 176), level: leaf.u8(at + 238), generation: leaf.u64(at + 160) };
  }
  throw new MetadataFlaw("its root tree names no extent tree");
}

/** Adds all extents in logical order; returns the sum of their lengths. */
async function readExtents(trees: BtrfsTrees, root: TreeRoot, nodeSize: number, runs: RunBuilder): Promise<number> {
  let end = 0;
  let used = 0;
  for await (const { key } of trees.items(root, "the extent tree")) {
    if (key.type !== extentItemKey && key.type !== metadataItemKey) continue;
    const start = Number(key.objectId);
    const length = key.type === metadataItemKey ? nodeSize : Number(key.offset);
    if (start < end || length === 0 || !Number.isSafeInteger(start + length)) {
      throw new MetadataFlaw(`the extents of its extent tree overlap (logical ${start})`);
    }
    if (physicalRuns(trees.chunks, start, length).length === 0) {
      throw new MetadataFlaw(`an extent lies in no chunk (logical ${start})`);
    }
    runs.add(start, length);
    end = start + length;
    used += length;
  }
  return used;
}

/** From runs of logical addresses to runs of the device. */
function physicalMap(chunks: readonly Chunk[], extents: Float64Array, endBytes: number): Float64Array {
  const pieces: [number, number][] = [[0, reservedBytes]];
  for (const offset of superblockOffsets) {
    if (offset + btrfsSuperblockLength <= endBytes) pieces.push([offset, btrfsSuperblockLength]);
  }
  let next = 0;
  for (let i = 0; i < extents.length; i += 2) {
    let start = extents[i] as number;
    const end = start + (extents[i + 1] as number);
    while (start < end) {
      while (next < chunks.length && chunkEnd(chunks[next] as Chunk) <= start) next++;
      const chunk = chunks[next];
      if (chunk === undefined || chunk.logical >= end) break;
      start = Math.max(start, chunk.logical); // runs that were merged may reach across what lies nowhere
      const pieceEnd = Math.min(end, chunkEnd(chunk));
      for (const physical of chunk.physical) pieces.push([physical + start - chunk.logical, pieceEnd - start]);
      start = pieceEnd;
    }
  }
  const runs = new RunBuilder(mapRunsMax);
  for (const [offset, length] of pieces.toSorted((a, b) => a[0] - b[0]))
    runs.add(offset, Math.min(length, endBytes - offset));
  return runs.finish();
}

function chunkEnd(chunk: Chunk): number {
  return chunk.logical + chunk.length;
}
