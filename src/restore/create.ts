// Making the entries of one block below held directories. Plain files go to the addon in one batch; whatever has more to it than data, owner,
// mode and times is made one by one, in the order of metadata.ts.
// Invariant: nothing is created through a link or over something that exists, unless the policy says to replace it, and then it is removed first.

import { escapeName } from "../base/units.ts";
import type { Digest } from "../codec/digest.ts";
import { digestLeaves, digestOfLeaves } from "../codec/leaves.ts";
import type { MemberBody } from "../format/memberDecoder.ts";
import type { CatalogRow } from "../model/catalog.ts";
import { EntryKind, type Extent } from "../model/entry.ts";
import type { Warning } from "../model/events.ts";
import { addon } from "../sys/addon.ts";
import {
  FALLOC_FL_KEEP_SIZE,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_RDWR,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  S_IFSOCK,
} from "../sys/constants.ts";
import { EDQUOT, EEXIST, ENOSPC, EROFS, errnoName, systemError } from "../sys/errors.ts";
import { scatterFlags, scatterLayout, statLayout } from "../sys/layout.ts";
import { hasSettableFlags, isRemembered, MetadataWriter, noName, unlinkableFlags } from "./metadata.ts";
import type { WritePolicy } from "./protocol.ts";

/** One entry to be made. */
export interface NewEntry {
  /** Row index in the block. */
  readonly index: number;
  readonly row: CatalogRow;
  /** Undefined: a socket. */
  readonly member: MemberBody | undefined;
  readonly dirFd: number;
  /** Path below the destination, for messages. */
  readonly path: () => Uint8Array;
}

const steps = [
  "",
  "creating it",
  "writing its data",
  "setting its owner",
  "setting its mode",
  "setting its times",
  "closing it",
];
const noDigest = new Uint8Array(0);

export class EntryCreator {
  readonly warnings: Warning[] = [];
  /** Rows that were not made. */
  readonly failed: number[] = [];
  readonly inodes: { row: number; ino: number | bigint }[] = [];
  readonly #policy: WritePolicy;
  readonly #digest: Digest;
  readonly #tar: Uint8Array;
  readonly #plain: NewEntry[] = [];
  readonly #native: boolean;

  constructor(policy: WritePolicy, digest: Digest, tar: Uint8Array) {
    this.#policy = policy;
    this.#digest = digest;
    this.#tar = tar;
    this.#native = digest.name === "xxh128";
  }

  /** Makes the entry now, or with flush() at the end of the block. */
  add(entry: NewEntry): void {
    if (this.#isPlain(entry)) this.#plain.push(entry);
    else this.#create(entry);
  }

  #isPlain({ row, member }: NewEntry): boolean {
    return (
      row.kind === EntryKind.file &&
      member !== undefined &&
      member.sparse === undefined &&
      member.attributes.length === 0 &&
      row.unwrittenExtents === undefined &&
      row.projectId === 0 &&
      !isStoredInParts(row) &&
      !hasSettableFlags(row) &&
      !this.#policy.clearInheritedAcl &&
      this.#native
    );
  }

  /** Makes the plain files that were added. */
  flush(): void {
    const entries = this.#plain.splice(0);
    const count = entries.length;
    if (count === 0) return;
    const records = new Uint8Array(count * scatterLayout.size);
    const view = new DataView(records.buffer);
    let nameBytes = 0;
    for (const { row } of entries) nameBytes += 1 + row.name.length;
    const names = new Uint8Array(nameBytes);
    let nameAt = 0;
    for (let i = 0; i < count; i++) {
      const { row, member, dirFd } = entries[i] as NewEntry;
      const at = i * scatterLayout.size;
      names[nameAt] = row.name.length;
      names.set(row.name, nameAt + 1);
      view.setInt32(at + scatterLayout.dirFd, dirFd, true);
      view.setUint32(at + scatterLayout.nameOffset, nameAt, true);
      nameAt += 1 + row.name.length;
      view.setFloat64(at + scatterLayout.dataOffset, (member as MemberBody).dataOffset, true);
      view.setFloat64(at + scatterLayout.dataLength, (member as MemberBody).dataLength, true);
      view.setUint32(at + scatterLayout.mode, row.mode, true);
      view.setUint32(at + scatterLayout.uid, row.uid, true);
      view.setUint32(at + scatterLayout.gid, row.gid, true);
      view.setUint32(
        at + scatterLayout.flags,
        scatterFlags.digest | (isRemembered(row) ? scatterFlags.wantInode : 0),
        true,
      );
      view.setBigInt64(at + scatterLayout.atime, BigInt(row.atime.seconds), true);
      view.setBigInt64(at + scatterLayout.mtime, BigInt(row.mtime.seconds), true);
      view.setUint32(at + scatterLayout.atimeNs, row.atime.nanoseconds, true);
      view.setUint32(at + scatterLayout.mtimeNs, row.mtime.nanoseconds, true);
      view.setUint32(at + scatterLayout.defaultUid, this.#policy.uid, true);
      view.setUint32(at + scatterLayout.defaultGid, this.#policy.gid, true);
    }
    const status = new Int32Array(count);
    const failedSteps = new Uint8Array(count);
    const fds = new Int32Array(count).fill(-1);
    const inodes = new Float64Array(count);
    const digests = new Uint8Array(count * this.#digest.length);
    addon().scatter(records, count, names, this.#tar, status, failedSteps, fds, inodes, digests);
    for (let i = 0; i < count; i++) {
      const entry = entries[i] as NewEntry;
      const errno = status[i] as number;
      const step = failedSteps[i] as number;
      if (errno === EEXIST && step === 1 && this.#policy.overwrite) {
        this.#create(entry);
        continue;
      }
      if (errno !== 0 && step <= 2) {
        this.#fail(entry, step, errno);
        continue;
      }
      if (errno !== 0) this.#warnStep(entry, step, errno);
      this.#compareDigest(entry, digests.subarray(i * this.#digest.length, (i + 1) * this.#digest.length));
      if (!isRemembered(entry.row)) continue;
      const ino = inodes[i] as number;
      // Numbers over 2^53 (overlayfs has them) do not fit the array.
      if (Number.isSafeInteger(ino)) this.inodes.push({ row: entry.index, ino });
      else this.#noteInode(entry, entry.dirFd, entry.row.name);
    }
  }

  #create(entry: NewEntry): void {
    const { row } = entry;
    if (row.kind === EntryKind.file) this.#createFile(entry);
    else this.#createNode(entry);
  }

  #createFile(entry: NewEntry): void {
    const native = addon();
    const { row, dirFd } = entry;
    const member = entry.member as MemberBody;
    const fd = this.#make(entry, () =>
      native.openAt(dirFd, row.name, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW, 0o600, 0),
    );
    if (fd < 0) return;
    try {
      const metadata = this.#metadata(entry);
      metadata.prepare(fd, row, member.attributes);
      const segments = segmentsOf(member);
      const written = writeSegments(fd, this.#tar, member.dataOffset, segments, row.size, row.sharedExtents);
      if (written < 0) {
        native.unlinkAt(dirFd, row.name, 0);
        this.#fail(entry, 2, -written);
        return;
      }
      const leaves = digestLeaves(this.#digest, this.#tar, member.dataOffset, segments, 0, row.size);
      this.#compareDigest(entry, digestOfLeaves(this.#digest, leaves, row.size));
      preallocate(fd, row, metadata);
      metadata.apply({ fd, name: noName }, row, member.attributes);
      const later = isRemembered(row) ? unlinkableFlags : 0;
      metadata.flags(fd, row.inodeFlags, member.attributes, ~later);
      this.#noteInode(entry, fd, noName);
    } finally {
      native.close(fd);
    }
  }

  /** Symlinks, devices, fifos and sockets: they have no descriptor of their own, so their names in the held directory serve. */
  #createNode(entry: NewEntry): void {
    const native = addon();
    const { row, member, dirFd } = entry;
    const { name } = row;
    const made = this.#make(entry, () => {
      if (row.kind === EntryKind.symlink) return native.symlinkAt(member?.linkPath ?? noName, dirFd, name);
      const { major, minor } = row.device ?? { major: 0, minor: 0 };
      return native.mknodAt(dirFd, name, typeBits(row.kind) | 0o600, major, minor);
    });
    if (made < 0) return;
    const attributes = member?.attributes ?? row.attributes ?? [];
    this.#metadata(entry).apply({ fd: dirFd, name }, row, attributes);
    this.#noteInode(entry, dirFd, name);
  }

  /** Makes something new; where something exists, replaces it if the policy says so. Returns ≥ 0, or < 0 after telling why not. */
  #make(entry: NewEntry, make: () => number): number {
    let result = make();
    if (result === -EEXIST && this.#policy.overwrite) {
      const removed = addon().unlinkAt(entry.dirFd, entry.row.name, 0);
      if (removed >= 0) result = make();
    }
    if (result < 0) this.#fail(entry, 1, -result);
    return result;
  }

  #noteInode(entry: NewEntry, fd: number, name: Uint8Array): void {
    if (!isRemembered(entry.row)) return;
    const stat = new Uint8Array(statLayout.size);
    if (addon().statAt(fd, name, stat) < 0) return;
    const ino = new DataView(stat.buffer).getBigUint64(statLayout.ino, true);
    this.inodes.push({ row: entry.index, ino });
  }

  #metadata(entry: NewEntry): MetadataWriter {
    return new MetadataWriter(this.#policy, (warning) => this.warnings.push({ ...warning, path: entry.path() }));
  }

  #compareDigest(entry: NewEntry, digest: Uint8Array): void {
    const expected = entry.row.digest ?? noDigest;
    if (expected.length === 0 || Buffer.compare(expected, digest) === 0) return;
    this.warnings.push({
      code: "ENTRY_DAMAGED",
      path: entry.path(),
      message: "its content is not the content that was saved: the digests differ",
    });
  }

  /** A full or read-only target ends the restore; anything else costs this entry only. */
  #fail(entry: NewEntry, step: number, errno: number): void {
    if (errno === ENOSPC || errno === EDQUOT || errno === EROFS)
      throw systemError(errno, `${escapeName(entry.path()).replace(/^\.\//, "")}: ${steps[step]}`, entry.path());
    this.failed.push(entry.index);
    const name = errnoName(errno);
    const why = errno === EEXIST ? "something of that name exists already (--overwrite replaces it)" : name;
    const message = `it was not restored: ${steps[step]} failed: ${why}`;
    this.warnings.push({ code: "ENTRY_NOT_RESTORED", path: entry.path(), message, errno: name });
  }

  #warnStep(entry: NewEntry, step: number, errno: number): void {
    const name = errnoName(errno);
    const message = `${steps[step]} failed: ${name}`;
    this.warnings.push({ code: "ATTRIBUTE_NOT_RESTORED", path: entry.path(), message, errno: name });
  }
}

/** Data runs of a member: pairs of offset, length. */
export function segmentsOf(member: MemberBody): Float64Array {
  if (member.sparse === undefined) return Float64Array.of(0, member.size);
  const runs = member.sparse.segments.flatMap(({ offset, length }) => (length > 0 ? [offset, length] : []));
  return Float64Array.from(runs);
}

/**
 * Writes runs that stand one after the other in tar bytes to their places, and gives the file its size. `shared`: those of which other files will use the storage.
 * Returns −errno on failure.
 */
export function writeSegments(
  fd: number,
  tar: Uint8Array,
  offset: number,
  runs: Float64Array,
  size: number,
  shared: readonly Extent[] = [],
): number {
  const native = addon();
  const turns = turnsOf(runs, shared).filter((turn) => turn.length > 0);
  for (const turn of turns) {
    for (let i = 0; i < turn.length; i += 3) {
      const [start = 0, length = 0, at = 0] = turn.subarray(i, i + 3);
      const written = native.write(fd, tar, offset + at, length, start);
      if (written < 0) return written;
    }
    if (turns.length > 1) native.startWriteback(fd);
  }
  const end = runs.length === 0 ? 0 : (runs.at(-2) as number) + (runs.at(-1) as number);
  return end < size ? native.truncate(fd, size) : 0;
}

/**
 * The runs in turns in which neighbours are written apart, so that each shared extent is an extent again: btrfs frees one only when nothing of it is in use, so
 * what another file's storage is to stand for must not lie in one with what is not. Threes of offset, length and place in the runs' bytes.
 */
function turnsOf(runs: Float64Array, extents: readonly Extent[]): Float64Array[] {
  const turns: [number[], number[], number[]] = [[], [], []];
  let next = 0;
  for (let i = 0, place = 0; i < runs.length; i += 2) {
    const end = (runs[i] as number) + (runs[i + 1] as number);
    for (let at = runs[i] as number; at < end; ) {
      const { offset, length } = extents[next] ?? { offset: end, length: 0 };
      if (length > 0 && offset + length <= at) {
        next++;
        continue;
      }
      const isInside = offset <= at && length > 0;
      const partEnd = Math.min(end, isInside ? offset + length : Math.max(offset, at));
      const part = (partEnd > at ? partEnd : end) - at;
      turns[isInside ? ((next & 1) as 0 | 1) : 2].push(at, part, place);
      at += part;
      place += part;
    }
  }
  return turns.map((turn) => Float64Array.from(turn));
}

/** Allocates what was preallocated and never written, beyond the end too. */
export function preallocate(fd: number, row: CatalogRow, metadata: MetadataWriter): void {
  for (const { offset, length } of row.unwrittenExtents ?? []) {
    const result = addon().allocate(fd, FALLOC_FL_KEEP_SIZE, offset, length);
    if (result < 0) {
      metadata.lost("preallocated space", errnoName(-result));
      return;
    }
  }
}

/** Parts of it shared storage with different files: they are written apart. */
function isStoredInParts({ sharedExtents, size }: CatalogRow): boolean {
  return sharedExtents !== undefined && (sharedExtents.length > 1 || (sharedExtents[0]?.length ?? 0) < size);
}

function typeBits(kind: EntryKind): number {
  switch (kind) {
    case EntryKind.charDevice:
      return S_IFCHR;
    case EntryKind.blockDevice:
      return S_IFBLK;
    case EntryKind.fifo:
      return S_IFIFO;
    default:
      return S_IFSOCK;
  }
}
