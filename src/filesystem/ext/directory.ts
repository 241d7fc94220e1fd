// Directories: blocks of struct ext4_dir_entry_2 (Linux fs/ext4/ext4.h), one after the other. The nodes of a hash tree look like blocks without entries,
// so all directories are read the same way; their checksums differ.

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

interface Entry {
  /** One char a byte. */
  readonly name: string;
  readonly inode: number;
  readonly type: number;
}

/** file_type of an entry (EXT4_FT_*) → d_type of getdents64(2). */
const directoryTypes = [0, 8, 4, 2, 6, 1, 12, 10];
const entryHead = 8;
const checksumTail = 12; // struct ext4_dir_entry_tail
const tailType = 0xde; // EXT4_FT_DIR_CSUM

/** Collects the entries of one directory. */
export class DirectoryReader {
  readonly #geometry: ExtGeometry;
  readonly #inode: ExtInode;
  readonly #entries: Entry[] = [];
  #parent = 0;
  #bytes = 0;

  /** Throws ExtFlaw for one whose names are encrypted. */
  constructor(geometry: ExtGeometry, inode: ExtInode) {
    if ((inode.flags & inodeFlags.encrypt) !== 0) throw encrypted(`directory ${inode.number}`);
    this.#geometry = geometry;
    this.#inode = inode;
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
    const entries = this.#entries.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
    const names = Buffer.alloc(this.#bytes);
    const offsets = new Uint32Array(entries.length);
    const inodes = new Uint32Array(entries.length);
    let at = 0;
    for (let i = 0; i < entries.length; i++) {
      const { name, inode, type } = entries[i] as Entry;
      offsets[i] = at;
      inodes[i] = inode;
      names[at] = directoryTypes[type] ?? 0;
      names[at + 1] = name.length;
      names.write(name, at + 2, "latin1");
      at += 2 + name.length;
    }
    return { names, offsets, inodes, parent: this.#parent };
  }

  /** Entries that tile `bytes`. `blockLength`: what a record length of 0 or 65535 stands for. */
  #scan(bytes: Uint8Array, blockLength: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
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
        const name = buffer.toString("latin1", at + entryHead, at + entryHead + nameLength);
        this.#add(name, inode, hasType ? (bytes[at + 7] as number) & 7 : 0);
      }
      at += length;
    }
  }

  #add(name: string, inode: number, type: number): void {
    if (name === ".") return;
    if (name === "..") {
      this.#parent = inode;
      return;
    }
    if (name === "" || name.includes("/") || name.includes("\0") || inode > this.#geometry.inodeCount) {
      throw this.#damaged();
    }
    this.#entries.push({ name, inode, type });
    this.#bytes += 2 + name.length;
  }

  /** Where the entries of a block end, once its checksum is proved. */
  #proved(logical: number, block: Uint8Array): number {
    if ((this.#geometry.roCompat & roCompat.metadataChecksum) === 0) return block.length;
    const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
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
    if (crc32cRaw(this.#inode.checksumSeed, block.subarray(0, tail)) !== view.getUint32(tail + 8, true)) {
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
    let crc = crc32cRaw(this.#inode.checksumSeed, block.subarray(0, countAt + count * 8));
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

/** Position of a name; −1: there is none. `near`: looked at first. */
export function findName(directory: ExtDirectory, name: Uint8Array, near: number): number {
  if (near < directory.offsets.length && compareAt(directory, near, name) === 0) return near;
  let low = 0;
  let high = directory.offsets.length - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const order = compareAt(directory, middle, name);
    if (order === 0) return middle;
    if (order < 0) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}

function compareAt({ names, offsets }: ExtDirectory, index: number, name: Uint8Array): number {
  const at = offsets[index] as number;
  const length = names[at + 1] as number;
  const common = Math.min(length, name.length);
  for (let i = 0; i < common; i++) {
    const difference = (names[at + 2 + i] as number) - (name[i] as number);
    if (difference !== 0) return difference;
  }
  return length - name.length;
}
