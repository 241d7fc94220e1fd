// An ext2, ext3 or ext4 read from its device or image without mounting it: inodes, directories, links, attributes and content by inode number. It only
// reads; a journal that must be replayed is replayed in memory. What contradicts itself, or what its checksum does not prove, is an ExtFlaw.

import { latin1 } from "../../base/bytes.ts";
import { RecentlyUsed } from "../../base/recent.ts";
import type { ExtendedAttribute } from "../../model/entry.ts";
import { crc32cRaw } from "../crc32c.ts";
import { Fields } from "../fields.ts";
import type { RandomAccess } from "../random-access.ts";
import { extSuperblockOffset, readExt } from "../superblock/ext.ts";
import {
  attributePrefixes,
  attributesInBlock,
  attributesInInode,
  listedName,
  listedValue,
  type RawAttribute,
} from "./attributes.ts";
import { ExtDevice, type Overlay } from "./device.ts";
import { DirectoryReader, type ExtDirectory } from "./directory.ts";
import { compat, incompat } from "./features.ts";
import { damaged, encrypted, errnoOfFailure, unsupported, wrongChecksum } from "./flaw.ts";
import { type ExtGeometry, readGeometry } from "./geometry.ts";
import { readGroups } from "./groups.ts";
import { ExtInode, inodeFlags, mapBytes, timeFields } from "./inode.ts";
import { replayJournal } from "./journal.ts";
import { type RunVisitor, walkRuns } from "./runs.ts";

export const rootInode = 2; // EXT4_ROOT_INO

/** All that reading needs; compression, dirdata and what is yet to come are not. */
const incompatKnown: number = Object.entries(incompat)
  .filter(([name]) => name !== "compression" && name !== "journalDevice")
  .reduce((mask, [, bit]) => mask | bit, 0);

const kindMask = 0xf000;
const kinds = { directory: 0x4000, file: 0x8000, symlink: 0xa000 } as const;
const linkBytesMax = 4096; // PATH_MAX
const directoriesMax = 32;
const noBytes = new Uint8Array(0);

export interface FoundAttributes {
  readonly attributes: readonly ExtendedAttribute[];
  /** First errno of reading them; 0: all are there. */
  readonly errno: number;
}

const noAttributes: FoundAttributes = { attributes: [], errno: 0 };

export class ExtFilesystem {
  readonly geometry: ExtGeometry;
  readonly device: ExtDevice;
  /** What a journal replayed in memory adds to the device. */
  readonly overlay: Overlay;
  /** First block of each group's inode table. */
  readonly #inodeTables: Float64Array;
  readonly #reserved: ReadonlySet<number>;
  /** What statfs(2) says is used: without the blocks of the file system's own, where the superblock tells how many those are. */
  readonly usedBytes: number;
  /** Listings by inode. */
  readonly #directories = new RecentlyUsed<ExtDirectory>(directoriesMax);

  /** `groups`: of so many the descriptors are read. */
  private constructor(
    access: RandomAccess,
    geometry: ExtGeometry,
    overlay: Overlay,
    groups = Number.POSITIVE_INFINITY,
  ) {
    this.device = new ExtDevice(access, geometry.blockSize, overlay);
    this.overlay = overlay;
    const replayed = overlay.size > 0 ? readGeometry(this.device) : geometry;
    this.geometry = replayed;
    this.#inodeTables = new Float64Array(replayed.groupCount);
    let freeClusters = 0;
    for (const { number, inodeTable, freeBlocks } of readGroups(this.device, replayed)) {
      this.#inodeTables[number] = inodeTable;
      freeClusters += freeBlocks;
      if (number + 1 >= groups) break;
    }
    const sb = new Fields(this.device.read(extSuperblockOffset, 1024));
    const { blockCount, blockSize, blocksPerCluster } = replayed;
    const usedClusters = blockCount / blocksPerCluster - sb.u32(0x248) - freeClusters; // s_overhead_clusters
    this.usedBytes = Math.max(0, usedClusters * blocksPerCluster * blockSize);
    const hidden = [sb.u32(0x240), sb.u32(0x244), sb.u32(0x26c)]; // quota inodes
    if ((replayed.compat & compat.orphanFile) !== 0) hidden.push(sb.u32(0x280));
    this.#reserved = new Set(hidden);
  }

  /**
   * `overlay`: of a journal that was replayed already. Throws MetadataFlaw where the file system as a whole cannot be read: the message says why.
   */
  static open(access: RandomAccess, overlay?: Overlay): ExtFilesystem {
    const device = new ExtDevice(access, 1024);
    const geometry = readGeometry(device);
    const unknown = geometry.incompat & ~incompatKnown;
    if (unknown !== 0)
      throw unsupported(`it has features that are not known here (incompat ${(unknown >>> 0).toString(16)})`);
    if (geometry.inodeCount >= 2 ** 31) throw unsupported(`it has ${geometry.inodeCount} inodes, of 2^31 at most`);
    if (overlay !== undefined || readExt(device)?.needsReplay !== true) {
      return new ExtFilesystem(access, geometry, overlay ?? new Map());
    }
    // What the journal mends may be torn until then: only the group that holds its inode is looked at before.
    const stale = new ExtFilesystem(access, geometry, new Map(), 1);
    return new ExtFilesystem(access, geometry, stale.#replay());
  }

  /** An inode in use that a directory may name. Throws ExtFlaw. */
  inode(number: number): ExtInode {
    if (number !== rootInode && (number < this.geometry.firstInode || this.#reserved.has(number))) {
      throw damaged(`inode ${number} is reserved`);
    }
    return this.#inode(number);
  }

  /** The names in the directory with this inode number. Throws ExtFlaw. */
  directory(number: number): ExtDirectory {
    return this.#directories.get(number) ?? this.#directories.add(number, this.#readDirectory(this.inode(number)));
  }

  /** Target of a symbolic link. Throws ExtFlaw. */
  link(inode: ExtInode): Uint8Array {
    const { size } = inode;
    if ((inode.flags & inodeFlags.encrypt) !== 0) throw encrypted(`link ${inode.number}`);
    if (size === 0 || size >= linkBytesMax) throw damaged(`link ${inode.number} has a target of ${size} bytes`);
    const target = new Uint8Array(size);
    if (this.#isFastLink(inode)) target.set(inode.map.subarray(0, size));
    else this.read(inode, target, 0, size, 0);
    if (target.includes(0)) throw damaged(`link ${inode.number} has a target with a NUL byte`);
    return target;
  }

  /** Extended attributes as the kernel lists them. */
  attributes(inode: ExtInode): FoundAttributes {
    let raw: readonly RawAttribute[];
    try {
      raw = this.#rawAttributes(inode);
    } catch (error) {
      return { attributes: [], errno: errnoOfFailure(error) };
    }
    if (raw.length === 0) return noAttributes;
    const attributes: ExtendedAttribute[] = [];
    let errno = 0;
    for (const each of raw) {
      const name = listedName(each);
      if (name === undefined) continue;
      try {
        const value = each.valueInode === 0 ? each.value : this.#valueInInode(each);
        attributes.push({ name, value: listedValue(each, value) });
      } catch (error) {
        errno ||= errnoOfFailure(error);
      }
    }
    return { attributes, errno };
  }

  /** Visits the mapped runs of blocks [start, end) of the inode. None where its content stands in the inode itself. Throws ExtFlaw. */
  walk(inode: ExtInode, start: number, end: number, visit: RunVisitor): void {
    if ((inode.flags & inodeFlags.inlineData) !== 0) return;
    walkRuns(this.device, this.geometry, inode, start, end, visit);
  }

  /**
   * Fills `length` bytes of `target` from `at` with the content from `position` on; zeros where it has none. Throws ExtFlaw, and what the system says.
   */
  read(inode: ExtInode, target: Uint8Array, at: number, length: number, position: number): void {
    target.fill(0, at, at + length);
    if ((inode.flags & inodeFlags.inlineData) !== 0) {
      target.set(this.inlineContent(inode).subarray(position, position + length), at);
      return;
    }
    const { blockSize } = this.geometry;
    const first = Math.floor(position / blockSize);
    const last = Math.ceil((position + length) / blockSize);
    this.walk(inode, first, last, (logical, count, physical, unwritten) => {
      if (unwritten) return;
      const from = Math.max(logical * blockSize, position);
      const to = Math.min((logical + count) * blockSize, position + length);
      const place = physical * blockSize + from - logical * blockSize;
      this.device.readInto(target, at + from - position, to - from, place);
    });
  }

  /** Content that stands in the inode and in its attribute `system.data`; what the size has more is zeros, as for the kernel. Throws ExtFlaw. */
  inlineContent(inode: ExtInode): Uint8Array {
    return Buffer.concat([inode.map, this.#inlineRest(inode)]).subarray(0, inode.size);
  }

  #replay(): Overlay {
    const sb = new Fields(this.device.read(extSuperblockOffset, 1024));
    const number = sb.u32(0xe0); // s_journal_inum
    if (number === 0) throw unsupported("its journal, which must be replayed, lies on another device");
    if (number > this.geometry.inodesPerGroup) throw damaged(`the journal is said to be inode ${number}`);
    const inode = this.#inode(number);
    const blocks = Math.floor(inode.size / this.geometry.blockSize);
    const runs: [number, number][] = [];
    this.walk(inode, 0, blocks, (_logical, length, physical) => runs.push([physical, length]));
    if (runs.reduce((sum, [, length]) => sum + length, 0) !== blocks) throw damaged("the journal has holes");
    return replayJournal(this.device, this.geometry, runs).overlay;
  }

  #inode(number: number): ExtInode {
    const { inodeCount, inodesPerGroup, inodeSize, blockSize } = this.geometry;
    if (number < 1 || number > inodeCount) throw damaged(`there is no inode ${number}`);
    const group = Math.floor((number - 1) / inodesPerGroup);
    const offset = ((number - 1) % inodesPerGroup) * inodeSize;
    const position = (this.#inodeTables[group] as number) * blockSize + offset;
    const chunk = this.device.inode(position, inodeSize, number);
    const inode = new ExtInode(this.geometry, number, chunk, position - chunk.start);
    if (inode.links === 0 || inode.mode === 0) throw damaged(`inode ${number} is not in use`);
    return inode;
  }

  #readDirectory(inode: ExtInode): ExtDirectory {
    const { geometry } = this;
    if ((inode.mode & kindMask) !== kinds.directory) throw damaged(`inode ${inode.number} is no directory`);
    const reader = new DirectoryReader(geometry, inode);
    if ((inode.flags & inodeFlags.inlineData) !== 0) {
      const parent = new DataView(inode.map.buffer, inode.map.byteOffset).getUint32(0, true);
      reader.addInline(parent, inode.map.subarray(4), this.#inlineRest(inode));
      return reader.finish();
    }
    const blocks = inode.size / geometry.blockSize;
    if (!Number.isInteger(blocks) || blocks > geometry.blockCount) {
      throw damaged(`directory ${inode.number} has ${inode.size} bytes`);
    }
    let next = 0;
    this.walk(inode, 0, blocks, (logical, length, physical, unwritten) => {
      if (unwritten || logical !== next) throw damaged(`directory ${inode.number} has a hole`);
      for (let i = 0; i < length; i++) {
        reader.addBlock(logical + i, this.device.block(physical + i, `directory ${inode.number}`));
      }
      next = logical + length;
    });
    if (next !== blocks) throw damaged(`directory ${inode.number} has a hole`);
    return reader.finish();
  }

  /** ext4_inode_is_fast_symlink(). */
  #isFastLink({ flags, size, sectors, attributeBlock }: ExtInode): boolean {
    if ((flags & inodeFlags.inlineData) !== 0) return false;
    if ((this.geometry.incompat & incompat.eaInode) !== 0) return size < mapBytes;
    const { blockSize, blocksPerCluster } = this.geometry;
    const isFast = sectors - (attributeBlock === 0 ? 0 : (blockSize * blocksPerCluster) / 512) === 0;
    if (isFast && size >= mapBytes) throw damaged("a link is longer than its inode");
    return isFast;
  }

  #rawAttributes(inode: ExtInode): readonly RawAttribute[] {
    const inInode = attributesInInode(inode);
    const { attributeBlock } = inode;
    if (attributeBlock === 0) return inInode;
    const what = `the attribute block of inode ${inode.number}`;
    if (attributeBlock <= this.geometry.firstDataBlock || attributeBlock >= this.geometry.blockCount) {
      throw damaged(`${what} lies outside of the file system`);
    }
    return [...inInode, ...attributesInBlock(this.geometry, inode, this.device.block(attributeBlock, what))];
  }

  /** The part of inline content that stands in an attribute. */
  #inlineRest(inode: ExtInode): Uint8Array {
    const found = attributesInInode(inode).find(
      ({ prefix, name }) => prefix === attributePrefixes.system && latin1(name) === "data",
    );
    if (found === undefined) throw damaged(`inode ${inode.number} has no content`);
    return found.valueInode === 0 ? found.value : noBytes;
  }

  /** A value that has an inode of its own, proved by the hash that stands there (ext4_xattr_inode_get()). */
  #valueInInode({ valueInode, valueBytes }: RawAttribute): Uint8Array {
    if ((this.geometry.incompat & incompat.eaInode) === 0) throw damaged("an attribute has an inode, without ea_inode");
    const inode = this.#inode(valueInode);
    if (
      (inode.flags & inodeFlags.eaInode) === 0 ||
      inode.size !== valueBytes ||
      (inode.mode & kindMask) !== kinds.file
    ) {
      throw damaged(`inode ${valueInode} does not hold the value of an attribute`);
    }
    const value = new Uint8Array(valueBytes);
    this.read(inode, value, 0, valueBytes, 0);
    const hash = inode.seconds(timeFields.access) >>> 0;
    if (crc32cRaw(this.geometry.checksumSeed, value) !== hash) throw wrongChecksum(`the value in inode ${valueInode}`);
    return value;
  }
}
