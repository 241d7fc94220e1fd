// Reading the tar bytes of a plain block back into members (docs/FORMAT.md, sections 5.1 to 5.3): the strict inverse of member.ts. What is broken is
// ARCHIVE_DAMAGED; what is whole but must not be written is ARCHIVE_HOSTILE. Nothing is held: paths and data are views into the block.

import { isZeroRange, utf8 } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { type Device, EntryKind, type ExtendedAttribute, type Timestamp } from "../model/entry.ts";
import { checkMemberPath, hostileName } from "./path.ts";
import { decodePax, type PaxValues } from "./paxDecoder.ts";
import { decodeSparseMap, type SparseLayout, sparseDataLength } from "./sparse.ts";
import { nameLength, padded, tarBlockLength, ustar } from "./ustar.ts";
import { checkHeader, damage, headerUses, readLong, readName, readPrefixedPath, readShort } from "./ustarDecoder.ts";

export interface Member {
  /** 0 to 6. */
  readonly kind: EntryKind;
  /** Whole member name with its prefix, checked: relative, no `.`, `..`, empty or over-long component but a leading `./`. */
  readonly path: Uint8Array;
  /** Hard links: member name of the object, checked like a path. Symlinks: the target, 1 to 4,095 bytes without NUL. */
  readonly linkPath?: Uint8Array;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Logical size of a file in bytes, holes included; else 0. */
  readonly size: number;
  readonly mtime: Timestamp;
  readonly device?: Device;
  /** ACLs in the kernel's binary form first, then the others by name. */
  readonly attributes: readonly ExtendedAttribute[];
  readonly sparse?: SparseLayout;
  /** Offset in the block of the entry's first header. */
  readonly headerOffset: number;
  /** Offset in the block of the first byte of file data (after the sparse map). */
  readonly dataOffset: number;
  /** Bytes of file data in the member: all of it, wherever it stands. */
  readonly dataLength: number;
  /** Bytes of file data that stand in this block; less than dataLength when continuations follow. */
  readonly dataAvailable: number;
  /** The number in the name of the extended header, where there is one. */
  readonly entryNumber?: number;
}

/** What of a member its catalog row does not tell. */
export type MemberBody = Pick<
  Member,
  "linkPath" | "size" | "attributes" | "sparse" | "dataOffset" | "dataLength" | "dataAvailable"
>;

const digitZero = 0x30;
const extendedHeaderType = 0x78;
const globalHeaderType = 0x67;
const idMax = 0xffff_fffe;
const noPax: PaxValues = Object.freeze({ attributes: [] });
const noName = new Uint8Array(0);
const extendedHeaderName = utf8("PaxHeaders/");

type Writable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

/** Calls onMember for each member of a plain block, in order. Only the last one may have data that does not stand in the block. */
export function decodeMembers(tar: Uint8Array, onMember: (member: Member) => void): void {
  let offset = 0;
  while (offset < tar.length) {
    const member = decodeMember(tar, offset);
    onMember(member);
    offset = memberEnd(tar, member);
  }
}

/** Offset in the block of what follows a member, whose padding is zero. Throws ARCHIVE_DAMAGED. */
export function memberEnd(tar: Uint8Array, { dataOffset, dataLength, dataAvailable }: Member): number {
  const end = dataOffset + dataAvailable;
  if (dataAvailable < dataLength) return end;
  checkPadding(tar, end);
  return padded(end);
}

/** Throws ARCHIVE_DAMAGED unless the bytes from the end of a file's data to the next multiple of 512 are zero and stand in the block. */
export function checkPadding(tar: Uint8Array, dataEnd: number): void {
  const end = padded(dataEnd);
  if (end > tar.length || !isZeroRange(tar, dataEnd, end)) {
    throw new TsfsaError("ARCHIVE_DAMAGED", `the padding at byte ${dataEnd} of its block is not zero`);
  }
}

/** The member whose first header stands at `offset`. */
export function decodeMember(tar: Uint8Array, offset: number): Member {
  const uses = checkHeader(tar, offset);
  if (tar[offset + ustar.type] !== extendedHeaderType) return decodeMain(tar, offset, offset, uses, noPax);
  const length = readLong(tar, offset, ustar.size);
  const start = offset + tarBlockLength;
  const end = start + padded(length);
  if (length === 0 || length > limits.paxHeaderBytes || end > tar.length) {
    throw damage(offset, `has an extended header of ${length} bytes`);
  }
  if (!isZeroRange(tar, start + length, end)) throw damage(offset, "has padding that is not zero");
  if (uses !== 0) throw damage(offset, "is no legal extended header");
  const entryNumber = readExtendedHeaderName(tar, offset);
  const pax = decodePax(tar, start, start + length);
  return decodeMain(tar, offset, end, checkHeader(tar, end), pax, entryNumber);
}

/** `PaxHeaders/<entry number>`; all other fields are mode 0644 or nothing. */
function readExtendedHeaderName(tar: Uint8Array, offset: number): number {
  const first = offset + extendedHeaderName.length;
  let legal =
    readShort(tar, offset, ustar.mode) === 0o644 &&
    readShort(tar, offset, ustar.uid) === 0 &&
    readShort(tar, offset, ustar.gid) === 0 &&
    readLong(tar, offset, ustar.mtime) === 0;
  for (let index = 0; index < extendedHeaderName.length; index++) {
    legal &&= tar[offset + index] === extendedHeaderName[index];
  }
  let number = 0;
  let at = first;
  for (; at < first + 16 && tar[at] !== 0; at++) {
    const digit = (tar[at] as number) - digitZero;
    legal &&= digit >= 0 && digit <= 9;
    number = number * 10 + digit;
  }
  legal &&= at === first + 1 || (at > first && tar[first] !== digitZero);
  if (!legal || !Number.isSafeInteger(number) || !isZeroRange(tar, at, offset + nameLength)) {
    throw damage(offset, "is no legal extended header");
  }
  return number;
}

function decodeMain(
  tar: Uint8Array,
  headerOffset: number,
  offset: number,
  uses: number,
  pax: PaxValues,
  entryNumber?: number,
): Member {
  const kind = decodeKind(tar, offset);
  const path = decodePath(tar, offset, uses, pax);
  checkMemberPath(path, kind === EntryKind.directory);
  const isLink = kind === EntryKind.hardlink || kind === EntryKind.symlink;
  const linkPath = decodeLinkPath(tar, offset, uses, pax, path, kind);
  const storedSize = oneOf(path, readLong(tar, offset, ustar.size), pax.size);
  if (kind !== EntryKind.file && (storedSize !== 0 || pax.sparse !== undefined)) {
    throw hostileName(path, "data where only files have data");
  }
  const mode = readShort(tar, offset, ustar.mode);
  if (mode > 0o7777) throw damage(offset, "has an illegal mode");
  const start = offset + tarBlockLength;
  const map = pax.sparse && decodeSparseMap(tar, start, pax.sparse.realSize);
  const dataOffset = map?.end ?? start;
  const dataLength = storedSize - (dataOffset - start);
  if (map !== undefined && dataLength !== sparseDataLength(map.layout)) {
    throw hostileName(path, "a sparse map that does not agree with its size");
  }
  // Written out, not spread: half of the time of decoding went into spreading what is mostly not there.
  const member: Writable<Member> = {
    kind,
    path,
    mode,
    uid: decodeId(path, readShort(tar, offset, ustar.uid), pax.uid),
    gid: decodeId(path, readShort(tar, offset, ustar.gid), pax.gid),
    size: pax.sparse?.realSize ?? storedSize,
    mtime: decodeMtime(path, readLong(tar, offset, ustar.mtime), pax.mtime),
    attributes: pax.attributes,
    headerOffset,
    dataOffset,
    dataLength,
    dataAvailable: Math.min(dataLength, tar.length - dataOffset),
  };
  const device = decodeDevice(tar, offset, path, kind);
  if (isLink) member.linkPath = linkPath;
  if (device !== undefined) member.device = device;
  if (map !== undefined) member.sparse = map.layout;
  if (entryNumber !== undefined) member.entryNumber = entryNumber;
  return member;
}

function decodeKind(tar: Uint8Array, offset: number): EntryKind {
  const type = tar[offset + ustar.type] as number;
  if (type >= digitZero && type <= digitZero + EntryKind.fifo) return (type - digitZero) as EntryKind;
  const what = type === globalHeaderType ? "a global header" : `a header of the unknown type ${type}`;
  throw new TsfsaError("ARCHIVE_HOSTILE", `${what} stands at byte ${offset} of a block`);
}

/** Where PAX or the sparse records carry the name, the one in the header is for people. */
function decodePath(tar: Uint8Array, offset: number, uses: number, pax: PaxValues): Uint8Array {
  const prefixed = (uses & headerUses.prefix) !== 0;
  const carried = pax.sparse?.name ?? pax.path;
  if (carried === undefined) {
    return prefixed ? readPrefixedPath(tar, offset) : readName(tar, offset, ustar.name, nameLength);
  }
  readName(tar, offset, ustar.name, nameLength); // nothing hidden behind its NUL
  if (prefixed) throw hostileName(carried, "two names");
  return carried;
}

function decodeLinkPath(
  tar: Uint8Array,
  offset: number,
  uses: number,
  pax: PaxValues,
  path: Uint8Array,
  kind: EntryKind,
): Uint8Array {
  const used = (uses & headerUses.linkname) !== 0;
  const inHeader = used ? readName(tar, offset, ustar.linkname, nameLength) : noName;
  const target = pax.linkPath ?? inHeader;
  if (kind === EntryKind.hardlink) {
    checkMemberPath(target, false);
  } else if (kind === EntryKind.symlink) {
    if (target.length === 0 || target.length > limits.symlinkTargetBytes || target.includes(0)) {
      throw hostileName(path, "an illegal symlink target");
    }
  } else if (used || pax.linkPath !== undefined) {
    throw hostileName(path, "a link target where only links have one");
  }
  return target;
}

/** One value per field: where PAX carries it, the header holds 0. */
function oneOf(path: Uint8Array, inHeader: number, inPax: number | undefined): number {
  if (inPax === undefined) return inHeader;
  if (inHeader !== 0) throw hostileName(path, "two values for one field");
  return inPax;
}

function decodeId(path: Uint8Array, inHeader: number, inPax: number | undefined): number {
  const id = oneOf(path, inHeader, inPax);
  if (id > idMax) throw hostileName(path, `the illegal owner ${id}`);
  return id;
}

function decodeMtime(path: Uint8Array, inHeader: number, inPax: Timestamp | undefined): Timestamp {
  if (inPax === undefined) return { seconds: inHeader, nanoseconds: 0 };
  if (inHeader !== 0) throw hostileName(path, "two values for one field");
  return inPax;
}

function decodeDevice(tar: Uint8Array, offset: number, path: Uint8Array, kind: EntryKind): Device | undefined {
  const major = readShort(tar, offset, ustar.devmajor);
  const minor = readShort(tar, offset, ustar.devminor);
  if (kind === EntryKind.charDevice || kind === EntryKind.blockDevice) return { major, minor };
  if (major !== 0 || minor !== 0) throw hostileName(path, "a device number where only devices have one");
  return undefined;
}
