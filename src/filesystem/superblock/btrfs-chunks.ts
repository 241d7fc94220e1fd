// Which allocation profiles a btrfs uses: the chunk tree, found through the superblock's sys_chunk_array and walked with a
// bound on nodes. Layouts: struct btrfs_disk_key, btrfs_chunk, btrfs_stripe, btrfs_header (include/uapi/linux/btrfs_tree.h).

import { Fields } from "../fields.ts";
import type { ByteReader } from "../reader.ts";

export interface Profiles {
  readonly data: string | null;
  readonly metadata: string | null;
}

interface Chunk {
  readonly logical: number;
  readonly length: number;
  readonly type: bigint;
  /** Place of the first stripe on this device; undefined: none here. */
  readonly physical: number | undefined;
  readonly sizeInArray: number;
}

const keyBytes = 17;
const chunkBytes = 48; // without stripes
const stripeBytes = 32;
const headerBytes = 101;
const chunkItemKey = 228;
const nodesMax = 4096;

/** BTRFS_BLOCK_GROUP_*. */
const groupData = 1n;
const groupMetadata = 4n;
const profileNames: readonly [bigint, string][] = [
  [1n << 3n, "raid0"],
  [1n << 4n, "raid1"],
  [1n << 5n, "dup"],
  [1n << 6n, "raid10"],
  [1n << 7n, "raid5"],
  [1n << 8n, "raid6"],
  [1n << 9n, "raid1c3"],
  [1n << 10n, "raid1c4"],
];

/** Profiles of the data and metadata chunks; null where the tree cannot be read on this device. */
export function readProfiles(reader: ByteReader, sb: Fields, nodeSize: number): Profiles {
  const deviceId = sb.u64(201);
  const system = systemChunks(sb, deviceId);
  let data: string | null = null;
  let metadata: string | null = null;
  let nodes = 0;
  const pending: { logical: number; level: number }[] = [{ logical: sb.count(88), level: sb.u8(199) }];
  for (let next = pending.pop(); next !== undefined && nodes < nodesMax; next = pending.pop(), nodes += 1) {
    const node = readNode(reader, system, next.logical, nodeSize);
    // A child is one level below its parent: the walk ends whatever the pointers say.
    if (node === undefined || node.u8(100) !== next.level || next.level > 7) continue;
    const itemCount = node.u32(96);
    for (let item = 0; item < itemCount && headerBytes + (item + 1) * 25 <= nodeSize; item += 1) {
      if (next.level > 0) {
        const pointer = headerBytes + item * 33; // struct btrfs_key_ptr
        if (pointer + 33 <= nodeSize && pending.length < nodesMax) {
          pending.push({ logical: node.count(pointer + keyBytes), level: next.level - 1 });
        }
        continue;
      }
      const at = headerBytes + item * 25; // struct btrfs_item
      if (node.u8(at + 8) !== chunkItemKey) continue;
      const chunk = readChunk(node, headerBytes + node.u32(at + keyBytes), 0, deviceId);
      if ((chunk.type & groupData) !== 0n) data ??= profileOf(chunk.type);
      if ((chunk.type & groupMetadata) !== 0n) metadata ??= profileOf(chunk.type);
    }
  }
  return { data, metadata };
}

function readNode(reader: ByteReader, chunks: readonly Chunk[], logical: number, nodeSize: number): Fields | undefined {
  const chunk = chunks.find((each) => logical >= each.logical && logical < each.logical + each.length);
  if (chunk?.physical === undefined) return undefined;
  const bytes = reader.read(chunk.physical + (logical - chunk.logical), nodeSize);
  const node = new Fields(bytes);
  return bytes.length === nodeSize && node.count(48) === logical ? node : undefined; // btrfs_header.bytenr
}

/** sys_chunk_array: pairs of key and chunk, sys_chunk_array_size (at 160) bytes from 811. */
function systemChunks(sb: Fields, deviceId: bigint): Chunk[] {
  const chunks: Chunk[] = [];
  const end = 811 + Math.min(sb.u32(160), 2048); // BTRFS_SYSTEM_CHUNK_ARRAY_SIZE
  let at = 811;
  while (at + keyBytes + chunkBytes <= end && sb.u8(at + 8) === chunkItemKey) {
    const chunk = readChunk(sb, at + keyBytes, sb.count(at + 9), deviceId);
    chunks.push(chunk);
    at += keyBytes + chunk.sizeInArray;
  }
  return chunks;
}

function readChunk(fields: Fields, at: number, logical: number, deviceId: bigint): Chunk {
  const stripes = Math.min(fields.u16(at + 44), 64);
  let physical: number | undefined;
  for (let stripe = 0; stripe < stripes && physical === undefined; stripe += 1) {
    const offset = at + chunkBytes + stripe * stripeBytes;
    if (fields.u64(offset) === deviceId) physical = fields.count(offset + 8);
  }
  return {
    logical,
    length: fields.count(at),
    type: fields.u64(at + 24),
    physical,
    sizeInArray: chunkBytes + fields.u16(at + 44) * stripeBytes,
  };
}

function profileOf(type: bigint): string {
  return profileNames.find(([bit]) => (type & bit) !== 0n)?.[1] ?? "single";
}
