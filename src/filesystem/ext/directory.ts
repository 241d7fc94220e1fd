// Directories: blocks of struct ext4_dir_entry_2 (Linux fs/ext4/ext4.h), one after the other. The nodes of a hash tree look like blocks without entries,
// so all directories are read the same way; their checksums differ.

import { viewOf } from "../../base/bytes.ts";
import { crc32cRaw } from "../crc32c.ts";
import { incompat, roCompat } from "./features.ts";
import { damaged, encrypted, wrongChecksum } from "./flaw.ts";
import type { ExtGeometry } from "./geometry.ts";
import { type ExtInode, inodeFlags } from "./inode.ts";

/** Names of a directory but `.` and `..`, sorted by bytes. */
export interface ExtDirectory {
  /** Packed as u8 d_type, u8 length, name. */
  readonly names: Uint8Array;
  /** Where each name's record starts in `names`, and the inode it names. */
  readonly offsets: Uint32Array;
  readonly inodes: Uint32Array;
  /** Inode of `..`; 0: there is none. */
  readonly parent: number;
}

/** file_type of an entry (EXT4_FT_*) → d_type of getdents64(2). */
const directoryTypes = [0, 8, 4, 2, 6, 1, 12, 10];
const namesBytesFirst = 2048;
const entryHead = 8;
const checksumTail = 12; // struct ext4_dir_entry_tail
const tailType = 0xde; // EXT4_FT_DIR_CSUM
const slash = 0x2f;
const dot = 0x2e;

/** Collects the entries of one directory. */
export class DirectoryReader {
  readonly #geometry: ExtGeometry;
  readonly #inode: ExtInode;
  /** Start of the checksums of its blocks. */
  readonly #seed: number;
  /** As found: names packed as in ExtDirectory. */
  #names = Buffer.allocUnsafe(namesBytesFirst);
  #length = 0;
  readonly #offsets: number[] = [];
  readonly #inodes: number[] = [];
  #parent = 0;

  /** Throws ExtFlaw for one whose names are encrypted. */
  constructor(geometry: ExtGeometry, inode: ExtInode) {
    if ((inode.flags & inodeFlags.encrypt) !== 0) throw encrypted(`directory ${inode.number}`);
    this.#geometry = geometry;
    this.#inode = inode;
    this.#seed = inode.checksumSeed();
  }

  /** Takes block `logical` of the directory. Throws ExtFlaw. */
  addBlock(logical: number, block: Uint8Array): void {
    const end = this.#proved(logical, block);
    this.#scan(block.subarray(0, end), block.length);
  }

  /** Takes the content of a directory without blocks: parent, entries in the inode, entries in its attribute. */
  addInline(parent: number, inInode: Uint8Array, inAttribute: Uint8Array): void {
    this.#parent = parent;
    this.#scan(inInode, inInode.length);
    this.#scan(inAttribute, inAttribute.length);
  }

  finish(): ExtDirectory {
    const found = this.#names;
    const places = this.#offsets;
    const numbers = this.#inodes;
    const count = places.length;
    const order = new Uint32Array(count);
    for (let i = 0; i < count; i++) order[i] = i;
    order.sort((a, b) => {
      const start = (places[b] as number) + 2;
      return compareName(found, places[a] as number, found, start, start + (found[start - 1] as number));
    });
    const names = new Uint8Array(this.#length);
    const offsets = new Uint32Array(count);
    const inodes = new Uint32Array(count);
    let to = 0;
    for (let i = 0; i < count; i++) {
      const index = order[i] as number;
      offsets[i] = to;
      inodes[i] = numbers[index] as number;
      const from = places[index] as number;
      const end = from + 2 + (found[from + 1] as number);
      for (let at = from; at < end; at++) names[to++] = found[at] as number;
    }
    return { names, offsets, inodes, parent: this.#parent };
  }

  /** Entries that tile `bytes`. `blockLength`: what a record length of 0 or 65535 stands for. */
  #scan(bytes: Uint8Array, blockLength: number): void {
    const view = viewOf(bytes);
    const hasType = (this.#geometry.incompat & incompat.filetype) !== 0;
    for (let at = 0; at < bytes.length; ) {
      if (at + entryHead > bytes.length) throw this.#damaged();
      const inode = view.getUint32(at, true);
      const length = recordLength(view.getUint16(at + 4, true), blockLength);
      const nameLength = bytes[at + 6] as number;
      if (length % 4 !== 0 || length < entryHead + (inode === 0 ? 0 : nameLength) || at + length > bytes.length) {
        throw this.#damaged();
      }
      if (inode !== 0) {
        const type = hasType ? (bytes[at + 7] as number) & 7 : 0;
        this.#add(bytes, at + entryHead, nameLength, inode, directoryTypes[type] as number);
      }
      at += length;
    }
  }

  /** `length`: of the name, ≤ 255. */
  #add(bytes: Uint8Array, start: number, length: number, inode: number, type: number): void {
    if (bytes[start] === dot && length === 1) return;
    if (bytes[start] === dot && bytes[start + 1] === dot && length === 2) {
      this.#parent = inode;
      return;
    }
    if (length === 0 || inode > this.#geometry.inodeCount) throw this.#damaged();
    let to = this.#length;
    if (to + 2 + length > this.#names.length) this.#names = Buffer.concat([this.#names], 2 * this.#names.length);
    const names = this.#names;
    this.#offsets.push(to);
    this.#inodes.push(inode);
    names[to++] = type;
    names[to++] = length;
    for (let at = start; at < start + length; at++) {
      const byte = bytes[at] as number;
      if (byte === slash || byte === 0) throw this.#damaged();
      names[to++] = byte;
    }
    this.#length = to;
  }

  /** Where the entries of a block end, once its checksum is proved. */
  #proved(logical: number, block: Uint8Array): number {
    if ((this.#geometry.roCompat & roCompat.metadataChecksum) === 0) return block.length;
    const view = viewOf(block);
    const isNode =
      view.getUint32(0, true) === 0 && recordLength(view.getUint16(4, true), block.length) === block.length;
    if ((this.#inode.flags & inodeFlags.index) !== 0 && (logical === 0 || isNode)) {
      this.#proveNode(view, block, logical === 0 ? 32 : 8);
      return block.length;
    }
    const tail = block.length - checksumTail;
    if (
      view.getUint32(tail, true) !== 0 ||
      view.getUint16(tail + 4, true) !== checksumTail ||
      block[tail + 7] !== tailType
    ) {
      throw damaged(`block ${logical} of directory ${this.#inode.number} has no checksum`);
    }
    if (crc32cRaw(this.#seed, block, tail) !== view.getUint32(tail + 8, true)) {
      throw wrongChecksum(`block ${logical} of directory ${this.#inode.number}`);
    }
    return tail;
  }

  /** ext4_dx_csum(): the used entries of a hash tree's node, then the first field of its tail. `countAt`: struct dx_countlimit. */
  #proveNode(view: DataView, block: Uint8Array, countAt: number): void {
    const limit = view.getUint16(countAt, true);
    const count = view.getUint16(countAt + 2, true);
    const tail = countAt + limit * 8;
    if (count > limit || tail + 8 > block.length) throw this.#damaged();
    let crc = crc32cRaw(this.#seed, block, countAt + count * 8);
    crc = crc32cRaw(crc, block.subarray(tail, tail + 4));
    crc = crc32cRaw(crc, new Uint8Array(4));
    if (crc !== view.getUint32(tail + 4, true)) {
      throw wrongChecksum(`the hash tree of directory ${this.#inode.number}`);
    }
  }

  #damaged(): Error {
    return damaged(`directory ${this.#inode.number} has an entry that cannot be`);
  }
}

/** ext4_rec_len_from_disk(): blocks of 64 KiB need 17 bits. */
function recordLength(field: number, blockLength: number): number {
  if (blockLength < 65_536) return field;
  return field === 0xffff || field === 0 ? blockLength : (field & 0xfffc) | ((field & 3) << 16);
}

/** Position of the name that stands in [start, end) of some bytes; −1: there is none. `near`: looked at first. */
export function findName(directory: ExtDirectory, bytes: Uint8Array, start: number, end: number, near: number): number {
  const { names, offsets } = directory;
  if (near < offsets.length && compareName(names, offsets[near] as number, bytes, start, end) === 0) return near;
  let low = 0;
  let high = offsets.length - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const difference = compareName(names, offsets[middle] as number, bytes, start, end);
    if (difference === 0) return middle;
    if (difference < 0) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}

/** Orders the packed name at `at` and bytes [start, end) of another by their bytes. */
function compareName(names: Uint8Array, at: number, other: Uint8Array, start: number, end: number): number {
  const length = names[at + 1] as number;
  const common = Math.min(length, end - start);
  for (let i = 0; i < common; i++) {
    const difference = (names[at + 2 + i] as number) - (other[start + i] as number);
    if (difference !== 0) return difference;
  }
  return length - (end - start);
}
