// Walking a B-tree of a btrfs on one device: nodes proved by checksum, place, generation, level and keys. Layouts: struct btrfs_header, btrfs_item,
// btrfs_key_ptr, btrfs_chunk (Linux include/uapi/linux/btrfs_tree.h), little-endian.

import { MetadataFlaw, readExactly } from "../exact.ts";
import { Fields } from "../fields.ts";
import type { ByteReader } from "../reader.ts";
import { type BtrfsChecksum, checksumMatches } from "../superblock/btrfs.ts";

export interface TreeKey {
  readonly objectId: bigint;
  readonly type: number;
  readonly offset: bigint;
}

export interface TreeItem {
  readonly key: TreeKey;
  /** The leaf, where the item's data begin in it, and how many bytes they are. */
  readonly leaf: Fields;
  readonly at: number;
  readonly length: number;
}

export interface TreeRoot {
  readonly logical: number;
  readonly level: number;
  readonly generation: bigint;
}

/** A range of logical addresses, and where it lies on the device: once, or twice with DUP. */
export interface Chunk {
  readonly logical: number;
  readonly length: number;
  readonly physical: readonly number[];
}

const headerBytes = 101;
const itemBytes = 25;
const pointerBytes = 33;
const keyBytes = 17;
const chunkBytes = 48; // without stripes
const stripeBytes = 32;
/** BTRFS_MAX_LEVEL. */
const levelsMax = 8;
export const chunkItemKey = 228;
/** BTRFS_BLOCK_GROUP_*: all profiles, and the one that a single device can have. */
const profiles = 0x7f8n;
const profileDup = 1n << 5n;

export class BtrfsTrees {
  readonly #reader: ByteReader;
  readonly #nodeSize: number;
  readonly #checksum: BtrfsChecksum;
  /** Ascending, apart from each other. */
  chunks: readonly Chunk[];

  constructor(reader: ByteReader, nodeSize: number, checksum: BtrfsChecksum, chunks: readonly Chunk[]) {
    this.#reader = reader;
    this.#nodeSize = nodeSize;
    this.#checksum = checksum;
    this.chunks = chunks;
  }

  /**
   * All items of a tree in the order of their keys. A node begins with the key its parent has for it, and keys ascend through the whole tree: so
   * no node is walked twice, whatever the pointers say. Throws MetadataFlaw.
   */
  async *items(root: TreeRoot, what: string): AsyncGenerator<TreeItem, void> {
    let last: TreeKey | undefined;
    const stack: { node: Fields; level: number; next: number }[] = [];
    const enter = async (place: TreeRoot, first: TreeKey | undefined): Promise<void> => {
      stack.push({ node: await this.#node(place, first, what), level: place.level, next: 0 });
    };
    await enter(root, undefined);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const { node, level } = top;
      if (top.next >= node.u32(96)) {
        stack.pop();
        continue;
      }
      const index = top.next++;
      if (level > 0) {
        const at = headerBytes + index * pointerBytes;
        const place = { logical: node.count(at + 17), level: level - 1, generation: node.u64(at + 25) };
        await enter(place, keyAt(node, at));
        continue;
      }
      const at = headerBytes + index * itemBytes;
      const key = keyAt(node, at);
      if (last !== undefined && compareKeys(last, key) >= 0)
        throw new MetadataFlaw(`the keys of ${what} do not ascend`);
      last = key;
      const length = node.u32(at + 21);
      const start = headerBytes + node.u32(at + 17);
      if (start + length > this.#nodeSize) throw new MetadataFlaw(`an item of ${what} does not lie in its leaf`);
      yield { key, leaf: node, at: start, length };
    }
  }

  async #node({ logical, level, generation }: TreeRoot, first: TreeKey | undefined, what: string): Promise<Fields> {
    if (level >= levelsMax) throw new MetadataFlaw(`${what} has level ${level}`);
    const [physical] = physicalRuns(this.chunks, logical, this.#nodeSize);
    if (physical === undefined) throw new MetadataFlaw(`a node of ${what} lies in no chunk (${logical})`);
    const bytes = readExactly(this.#reader, physical[0], this.#nodeSize, `a node of ${what}`);
    const node = new Fields(bytes);
    if (!(await checksumMatches(this.#checksum, bytes))) {
      throw new MetadataFlaw(`the checksum of a node of ${what} is wrong (byte ${physical[0]})`);
    }
    if (node.count(48) !== logical || node.u8(100) !== level || node.u64(80) !== generation) {
      throw new MetadataFlaw(`a node of ${what} is not the one its parent means (byte ${physical[0]})`);
    }
    const count = node.u32(96);
    const countMax = Math.floor((this.#nodeSize - headerBytes) / (level === 0 ? itemBytes : pointerBytes));
    if (count > countMax || (count === 0 && (first !== undefined || level > 0))) {
      throw new MetadataFlaw(`a node of ${what} has ${count} items`);
    }
    if (first !== undefined && compareKeys(first, keyAt(node, headerBytes)) !== 0) {
      throw new MetadataFlaw(`a node of ${what} does not begin where its parent says`);
    }
    return node;
  }
}

function keyAt(node: Fields, at: number): TreeKey {
  return { objectId: node.u64(at), type: node.u8(at + 8), offset: node.u64(at + 9) };
}

function compareKeys(a: TreeKey, b: TreeKey): number {
  if (a.objectId !== b.objectId) return a.objectId < b.objectId ? -1 : 1;
  if (a.type !== b.type) return a.type - b.type;
  return a.offset === b.offset ? 0 : a.offset < b.offset ? -1 : 1;
}

/** Where a logical range lies: one pair of offset and length for each copy. Empty where it does not lie in one chunk. */
export function physicalRuns(chunks: readonly Chunk[], logical: number, length: number): [number, number][] {
  let low = 0;
  let high = chunks.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((chunks[middle] as Chunk).logical <= logical) low = middle + 1;
    else high = middle;
  }
  const chunk = chunks[low - 1];
  if (chunk === undefined || logical + length > chunk.logical + chunk.length) return [];
  return chunk.physical.map((physical) => [physical + logical - chunk.logical, length]);
}

/** sys_chunk_array of the superblock: pairs of key and chunk, sys_chunk_array_size (at 160) bytes from 811. */
export function systemChunks(sb: Fields, sizeBytes: number): Chunk[] {
  const chunks: Chunk[] = [];
  const end = 811 + Math.min(sb.u32(160), 2048); // BTRFS_SYSTEM_CHUNK_ARRAY_SIZE
  for (let at = 811; at + keyBytes + chunkBytes <= end && sb.u8(at + 8) === chunkItemKey; ) {
    chunks.push(decodeChunk(sb, at + keyBytes, sb.count(at + 9), sizeBytes));
    at += keyBytes + chunkBytes + sb.u16(at + keyBytes + 44) * stripeBytes;
  }
  return chunks.toSorted((a, b) => a.logical - b.logical);
}

/** `logical`: the offset of its key. Throws MetadataFlaw for profiles of several devices and for stripes beyond `sizeBytes` of the device. */
export function decodeChunk(fields: Fields, at: number, logical: number, sizeBytes: number): Chunk {
  const length = fields.count(at);
  const profile = fields.u64(at + 24) & profiles;
  const stripes = fields.u16(at + 44);
  if (profile !== 0n && profile !== profileDup)
    throw new MetadataFlaw("it has chunks of a profile for several devices");
  if (stripes !== (profile === profileDup ? 2 : 1)) throw new MetadataFlaw(`a chunk has ${stripes} stripes`);
  const physical = Array.from({ length: stripes }, (_, i) => fields.count(at + chunkBytes + i * stripeBytes + 8));
  if (!Number.isSafeInteger(logical + length) || length === 0 || physical.some((start) => start + length > sizeBytes)) {
    throw new MetadataFlaw("a chunk does not lie on the device");
  }
  return { logical, length, physical };
}
