// Making the entries of one block below held directories, one by one, in the order of metadata.ts. Files that have no more than data, owner, mode and times
// the addon makes in one call before (scatter.ts).
// Invariant: nothing is created through a link or over something that exists, unless the policy says to replace it, and then it is removed first.

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
import { EEXIST, errnoName } from "../sys/errors.ts";
import { scatterSteps, statLayout } from "../sys/layout.ts";
import { reasonOf, throwIfFinal } from "./failures.ts";
import { isRemembered, MetadataWriter, noName, unlinkableFlags } from "./metadata.ts";
import type { WritePolicy } from "./protocol.ts";
import type { MadeFile } from "./scatter.ts";

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

export class EntryCreator {
  readonly warnings: Warning[] = [];
  /** Rows that were not made. */
  readonly failed: number[] = [];
  readonly inodes: { row: number; ino: number | bigint }[] = [];
  readonly #policy: WritePolicy;
  readonly #digest: Digest;
  readonly #tar: Uint8Array;

  constructor(policy: WritePolicy, digest: Digest, tar: Uint8Array) {
    this.#policy = policy;
    this.#digest = digest;
    this.#tar = tar;
  }

  /** Goes on with a file that the addon has made, or has failed to make. */
  made(entry: NewEntry, { step, errno, differs, ino }: MadeFile): void {
    if (errno === EEXIST && step === scatterSteps.create && this.#policy.overwrite) {
      this.add(entry);
      return;
    }
    if (step === scatterSteps.create || step === scatterSteps.write) {
      this.#fail(entry, step, errno);
      return;
    }
    if (step !== 0) this.#warnStep(entry, step, errno);
    if (differs) this.#tellDamaged(entry);
    if (!isRemembered(entry.row)) return;
    // Numbers over 2^53 (overlayfs has them) are not exact.
    if (Number.isSafeInteger(ino)) this.inodes.push({ row: entry.index, ino });
    else this.#noteInode(entry, entry.dirFd, entry.row.name);
  }

  add(entry: NewEntry): void {
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
    const expected = entry.row.digest;
    if (expected !== undefined && Buffer.compare(expected, digest) !== 0) this.#tellDamaged(entry);
  }

  #tellDamaged(entry: NewEntry): void {
    this.warnings.push({
      code: "ENTRY_DAMAGED",
      path: entry.path(),
      message: "its content is not the content that was saved: the digests differ",
    });
  }

  /** A full or read-only target ends the restore; anything else costs this entry only. */
  #fail(entry: NewEntry, step: number, errno: number): void {
    throwIfFinal(errno, steps[step] as string, entry.path());
    this.failed.push(entry.index);
    const message = `it was not restored: ${steps[step]} failed: ${reasonOf(errno)}`;
    this.warnings.push({ code: "ENTRY_NOT_RESTORED", path: entry.path(), message, errno: errnoName(errno) });
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

/** What addon().write() writes at a time. */
const pieceBytes = 64 * 1024;

/**
 * Gives a new file its size (0: it has it), and writes runs that stand one after the other in tar bytes to their places. `shared`: those of which other files will
 * use the storage. Returns −errno on failure.
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
  const end = runs.length === 0 ? 0 : (runs.at(-2) as number) + (runs.at(-1) as number);
  // First: to a file that grows piece by piece xfs gives more than it holds.
  const sized = size > Math.min(end, pieceBytes) ? native.truncate(fd, size) : 0;
  if (sized < 0) return sized;
  const turns = turnsOf(runs, shared).filter((turn) => turn.length > 0);
  for (const turn of turns) {
    for (let i = 0; i < turn.length; i += 3) {
      const [start = 0, length = 0, at = 0] = turn.subarray(i, i + 3);
      const written = native.write(fd, tar, offset + at, length, start);
      if (written < 0) return written;
    }
    if (turns.length > 1) native.startWriteback(fd);
  }
  return 0;
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

/**
 * Allocates what was preallocated and never written, beyond the end too. The rest of the last block comes by itself: asked for it, btrfs fills that block
 * with zeros.
 */
export function preallocate(fd: number, row: CatalogRow, metadata: MetadataWriter): void {
  for (const { offset, length } of row.unwrittenExtents ?? []) {
    const end = offset + length;
    const isRounded = offset < row.size && end > row.size && end - row.size < blockSizeOf(fd);
    const result = addon().allocate(fd, FALLOC_FL_KEEP_SIZE, offset, (isRounded ? row.size : end) - offset);
    if (result < 0) {
      metadata.lost("preallocated space", errnoName(-result));
      return;
    }
  }
}

function blockSizeOf(fd: number): number {
  const found = new Float64Array(12);
  return addon().statFilesystem(fd, found) < 0 ? 0 : (found[1] as number);
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
