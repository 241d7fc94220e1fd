// Writing the tar headers of one entry (docs/FORMAT.md, sections 5.1 to 5.3): an extended header where ustar cannot hold a value, the ustar
// header, the sparse map. File data and its padding are the caller's. Plain entries, which are nearly all, get the same bytes from the addon
// (native/src/ustar.c).

import { compareBytes, utf8 } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { type Device, EntryKind, type ExtendedAttribute } from "../model/entry.ts";
import { aclToText } from "./acl.ts";
import { PaxBuilder, paxRecordLength, writeDecimal } from "./pax.ts";
import { encodeSparseMap, type SparseLayout, sparseDataLength } from "./sparse.ts";
import {
  headerTemplate,
  headerTemplateSum,
  longField,
  longFieldMax,
  nameLength,
  padded,
  shortField,
  shortFieldMax,
  splitName,
  tarBlockLength,
  ustar,
  writeChecksum,
  writeName,
  writeOctal,
} from "./ustar.ts";

export interface MemberFields {
  /** 0 to 6: entries that have a member. */
  readonly kind: EntryKind;
  /** Whole member name with its prefix; directories end in `/`. */
  readonly path: Uint8Array;
  /** Hard links: member name of the object. Symlinks: the target. */
  readonly linkPath?: Uint8Array | undefined;
  /** Permission bits with setuid, setgid, sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Files without `sparse`: bytes. Else not looked at. */
  readonly size: number;
  readonly mtimeSeconds: number;
  readonly mtimeNanoseconds: number;
  /** Char and block devices. */
  readonly device?: Device | undefined;
  /** As the kernel gives them, in any order; POSIX ACLs in the kernel's binary form. */
  readonly attributes?: readonly ExtendedAttribute[] | undefined;
  /** Files with holes. */
  readonly sparse?: SparseLayout | undefined;
  readonly entryNumber: number;
}

/** An attribute that the member cannot carry. */
export interface LostAttribute {
  readonly name: Uint8Array;
  /** One clause for a warning. */
  readonly reason: string;
}

/** Names of the attributes that are ACLs. */
export const aclAttributes = {
  access: "system.posix_acl_access",
  default: "system.posix_acl_default",
} as const;
const accessAclName = utf8(aclAttributes.access);
const defaultAclName = utf8(aclAttributes.default);

/** Type `0`; entry kinds 0 to 6 are ustar's types 0 (file), 1 (hard link), 2 (symlink), 3 (char), 4 (block), 5 (directory), 6 (fifo). */
const typeZero = 0x30;
const extendedHeaderType = 0x78;
const extendedHeaderName = utf8("PaxHeaders/");
const sparseName = utf8("GNUSparseFile.0/");
const slash = 0x2f;
const nothing: readonly LostAttribute[] = [];
const noMap = new Uint8Array(0);
/** Position of the cut between prefix and name: the name fits as it is, or stands in PAX. */
const wholeName = 0;
const nameInPax = -1;

/** Encodes members; one per thread, since it reuses its buffers. */
export class MemberEncoder {
  /** Attributes of the last member that it does not carry. */
  lost: readonly LostAttribute[] = nothing;
  readonly #pax = new PaxBuilder();
  readonly #number = new Uint8Array(32);
  #map: Uint8Array = noMap;
  #nameCut = 0;

  /** Bytes of all headers of this member, sparse map included: a multiple of 512. */
  size(fields: MemberFields): number {
    this.#plan(fields);
    return this.#plannedSize();
  }

  /**
   * Writes all headers of this member, sparse map included, at `offset` of `target`. Returns the offset after them, or −1 (nothing written) when they do
   * not fit. Throws INTERNAL for values no member can hold.
   */
  encode(target: Uint8Array, offset: number, fields: MemberFields): number {
    this.#plan(fields);
    if (offset + this.#plannedSize() > target.length) return -1;
    let at = offset;
    if (this.#pax.length > 0) at = this.#writeExtendedHeader(target, at, fields.entryNumber);
    at = this.#writeHeader(target, at, fields);
    target.set(this.#map, at);
    return at + this.#map.length;
  }

  #plannedSize(): number {
    const extended = this.#pax.length === 0 ? 0 : tarBlockLength + padded(this.#pax.length);
    return extended + tarBlockLength + this.#map.length;
  }

  /** Decides what goes into PAX records and builds them. */
  #plan(fields: MemberFields): void {
    const { path, linkPath, sparse, attributes, mtimeSeconds: seconds } = fields;
    const pax = this.#pax;
    pax.clear();
    this.lost = nothing;
    this.#map = sparse === undefined ? noMap : encodeSparseMap(sparse);
    this.#nameCut = path.length <= nameLength ? wholeName : splitName(path);

    if (this.#nameCut === nameInPax && sparse === undefined) pax.value("path", path);
    if (linkPath !== undefined && linkPath.length > nameLength) pax.value("linkpath", linkPath);
    const size = this.#storedSize(fields);
    if (size > longFieldMax) pax.integer("size", size);
    if (fields.uid > shortFieldMax) pax.integer("uid", fields.uid);
    if (fields.gid > shortFieldMax) pax.integer("gid", fields.gid);
    if (fields.mtimeNanoseconds !== 0 || seconds < 0 || seconds > longFieldMax) {
      pax.time("mtime", seconds, fields.mtimeNanoseconds);
    }
    if (sparse !== undefined) {
      pax.integer("GNU.sparse.major", 1);
      pax.integer("GNU.sparse.minor", 0);
      pax.value("GNU.sparse.name", path);
      pax.integer("GNU.sparse.realsize", sparse.realSize);
    }
    if (attributes !== undefined && attributes.length > 0) this.#planAttributes(attributes);
  }

  #storedSize(fields: MemberFields): number {
    if (fields.kind !== EntryKind.file) return 0;
    return fields.sparse === undefined ? fields.size : this.#map.length + sparseDataLength(fields.sparse);
  }

  /** ACLs first, then the others by the bytes of their names; what cannot be carried is noted in `lost`. */
  #planAttributes(attributes: readonly ExtendedAttribute[]): void {
    const lost: LostAttribute[] = [];
    const others: ExtendedAttribute[] = [];
    const acls: { access?: Uint8Array; default?: Uint8Array } = {};
    for (const attribute of attributes) {
      const { name, value } = attribute;
      const which = isNamed(name, accessAclName) ? "access" : isNamed(name, defaultAclName) ? "default" : undefined;
      if (which === undefined) {
        others.push(attribute);
        continue;
      }
      const text = aclToText(value);
      if (text === undefined) lost.push({ name, reason: "the ACL is not one that the kernel would take" });
      else acls[which] = text;
    }
    if (acls.access !== undefined) this.#pax.value("SCHILY.acl.access", acls.access);
    if (acls.default !== undefined) this.#pax.value("SCHILY.acl.default", acls.default);
    if (others.length > 1) others.sort((left, right) => compareBytes(left.name, right.name));
    for (const { name, value } of others) {
      const upperBound = this.#pax.length + paxRecordLength(32 + 3 * name.length + value.length);
      if (upperBound > limits.paxHeaderBytes) lost.push({ name, reason: "the entry has too many bytes of attributes" });
      else this.#pax.attribute(name, value);
    }
    if (lost.length > 0) this.lost = lost;
  }

  #writeExtendedHeader(target: Uint8Array, offset: number, entryNumber: number): number {
    const { bytes, length } = this.#pax;
    target.set(headerTemplate, offset);
    let sum = headerTemplateSum + extendedHeaderType;
    sum += writeName(target, offset, extendedHeaderName, 0, extendedHeaderName.length);
    const digits = writeDecimal(this.#number, 0, entryNumber);
    sum += writeName(target, offset + extendedHeaderName.length, this.#number, 0, digits);
    sum += writeOctal(target, offset + ustar.mode, shortField, 0o644);
    sum += writeOctal(target, offset + ustar.size, longField, length);
    target[offset + ustar.type] = extendedHeaderType;
    writeChecksum(target, offset, sum);

    const from = offset + tarBlockLength;
    if (length > 64) target.set(bytes.subarray(0, length), from);
    else for (let index = 0; index < length; index++) target[from + index] = bytes[index] as number;
    const end = from + padded(length);
    target.fill(0, from + length, end);
    return end;
  }

  #writeHeader(target: Uint8Array, offset: number, fields: MemberFields): number {
    const { kind, linkPath, uid, gid, device, mtimeSeconds: seconds } = fields;
    const type = typeZero + kind;
    if (kind > EntryKind.fifo) throw new TsfsaError("INTERNAL", `entries of kind ${kind} have no member`);
    target.set(headerTemplate, offset);
    let sum = headerTemplateSum + type;
    target[offset + ustar.type] = type;
    sum += this.#writePath(target, offset, fields);
    if (linkPath !== undefined) {
      const from = Math.max(linkPath.length - nameLength, 0);
      sum += writeName(target, offset + ustar.linkname, linkPath, from, linkPath.length);
    }
    sum += writeOctal(target, offset + ustar.mode, shortField, fields.mode & 0o7777);
    if (uid <= shortFieldMax) sum += writeOctal(target, offset + ustar.uid, shortField, uid);
    if (gid <= shortFieldMax) sum += writeOctal(target, offset + ustar.gid, shortField, gid);
    const size = this.#storedSize(fields);
    if (size <= longFieldMax) sum += writeOctal(target, offset + ustar.size, longField, size);
    if (fields.mtimeNanoseconds === 0 && seconds >= 0 && seconds <= longFieldMax) {
      sum += writeOctal(target, offset + ustar.mtime, longField, seconds);
    }
    if (device !== undefined) {
      if (device.major > shortFieldMax || device.minor > shortFieldMax) {
        throw new TsfsaError("INTERNAL", `device ${device.major}:${device.minor} does not fit a tar header`);
      }
      sum += writeOctal(target, offset + ustar.devmajor, shortField, device.major);
      sum += writeOctal(target, offset + ustar.devminor, shortField, device.minor);
    }
    writeChecksum(target, offset, sum);
    return offset + tarBlockLength;
  }

  #writePath(target: Uint8Array, offset: number, fields: MemberFields): number {
    const { path, sparse } = fields;
    if (sparse !== undefined) {
      const component = path.lastIndexOf(slash) + 1;
      const end = Math.min(path.length, component + nameLength - sparseName.length);
      const sum = writeName(target, offset, sparseName, 0, sparseName.length);
      return sum + writeName(target, offset + sparseName.length, path, component, end);
    }
    const cut = this.#nameCut;
    if (cut === wholeName) return writeName(target, offset, path, 0, path.length);
    if (cut === nameInPax) return writeName(target, offset, path, path.length - nameLength, path.length);
    const sum = writeName(target, offset + ustar.prefix, path, 0, cut);
    return sum + writeName(target, offset, path, cut + 1, path.length);
  }
}

function isNamed(name: Uint8Array, expected: Uint8Array): boolean {
  return name.length === expected.length && compareBytes(name, expected) === 0;
}
