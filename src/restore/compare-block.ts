// The compare job: one block of the archive, proved and decoded, against the live entries of the same names. Live files are read by descriptors below
// the directories the job was given, without changing access times where that is allowed.

import { damageOf } from "../archive/frames.ts";
import { equalBytes, latin1 } from "../base/bytes.ts";
import { limits } from "../base/limits.ts";
import type { Digest } from "../codec/digest.ts";
import { digestLeaves, digestOfLeaves } from "../codec/leaves.ts";
import type { MemberBody } from "../format/memberDecoder.ts";
import type { CatalogRow } from "../model/catalog.ts";
import type { FieldDifference } from "../model/difference.ts";
import { EntryKind, type ExtendedAttribute } from "../model/entry.ts";
import type { JobResult } from "../pipeline/protocol.ts";
import { addon } from "../sys/addon.ts";
import { CAP_SYS_ADMIN, O_DIRECTORY } from "../sys/constants.ts";
import { EIO, ENOENT, ENOSPC } from "../sys/errors.ts";
import { type Gathered, readGathered } from "../sys/gathered.ts";
import { statLayout } from "../sys/layout.ts";
import { deviceKey } from "../sys/directory.ts";
import { openQuietly } from "../sys/open-quietly.ts";
import { kindOfMode, readStat, type Stat } from "../sys/stat.ts";
import { settlePlaceholder, subvolumeInode, subvolumeOf } from "../sys/subvolume.ts";
import { compareExtents } from "./compare-extents.ts";
import { compareAttributes, compareProperties, compareSubvolume, type EntryProperties } from "./compare-fields.ts";
import type { CompareInput, CompareOutput, LeavesInput, LeavesOutput } from "./protocol.ts";
import type { OpenedBlock, Unpacker } from "./unpack.ts";

/** Entries opened at a time, and bytes of their content read at a time. */
const entriesPerBatch = 256;
const bytesPerBatch = 16 * 1024 * 1024;
const gatherBytes = 1024 * 1024;

type Writable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

/** A row whose live entry is there. */
interface LiveEntry {
  readonly index: number;
  readonly row: CatalogRow;
  readonly member: MemberBody | undefined;
  readonly stat: Stat;
  fields: FieldDifference[];
  gathered: Gathered | undefined;
  fd: number;
}

export class Comparer {
  readonly #unpacker: Unpacker;
  readonly #digest: Digest;
  readonly #seesTrusted: boolean = addon().hasCapability(CAP_SYS_ADMIN);
  #gathered = new Uint8Array(gatherBytes);
  #content = new Uint8Array(0);

  constructor(unpacker: Unpacker, digest: Digest) {
    this.#unpacker = unpacker;
    this.#digest = digest;
  }

  compare(input: CompareInput): JobResult<CompareOutput> {
    const output = {
      damage: undefined,
      hostile: false,
      differences: [] as { row: number; fields: FieldDifference[] | undefined }[],
      inodes: [] as Writable<CompareOutput["inodes"][number]>[],
      unreadable: [] as { row: number; errno: number }[],
      bytes: 0,
    };
    let block: OpenedBlock;
    try {
      block = this.#unpacker.open(input);
    } catch (error) {
      return { output: { ...output, ...damageOf(error) } };
    }
    let batch: LiveEntry[] = [];
    let bytes = 0;
    const finish = (): void => {
      this.#compareBatch(input, batch, output.unreadable);
      for (const { index, fields } of batch) if (fields.length > 0) output.differences.push({ row: index, fields });
      batch = [];
      bytes = 0;
    };
    for (const [index, row] of block.rows.entries()) {
      if ((input.dirFds[index] as number) < 0) continue;
      const live = this.#stat(input, index, row, block.members[index], output);
      if (live === undefined) continue;
      if (batch.length >= entriesPerBatch || bytes + row.size > bytesPerBatch) finish();
      batch.push(live);
      if (!row.continued) bytes += row.size;
      if (row.kind === EntryKind.file) output.bytes += row.continued ? 0 : row.size;
    }
    finish();
    return { output };
  }

  /** The leaves of a range of a file. */
  leaves({ fd, start, end, segments }: LeavesInput): JobResult<LeavesOutput> {
    let length = 0;
    for (let i = 1; i < segments.length; i += 2) length += segments[i] as number;
    this.#reserve(length);
    let errno = 0;
    for (let i = 0, at = 0; i < segments.length; i += 2) {
      const part = segments[i + 1] as number;
      const read = addon().read(fd, this.#content, at, part, segments[i] as number);
      if (read < 0) errno = -read;
      this.#content.fill(0, at + Math.max(read, 0), at + part);
      at += part;
    }
    const leaves = digestLeaves(this.#digest, this.#content, 0, segments, start, end);
    return {
      output: { leaves, errno },
      transfer: [leaves.numbers.buffer as ArrayBuffer, leaves.digests.buffer as ArrayBuffer],
    };
  }

  /** Looks whether the live entry is there and of the same kind. */
  #stat(
    input: CompareInput,
    index: number,
    row: CatalogRow,
    member: MemberBody | undefined,
    output: {
      readonly differences: { row: number; fields: FieldDifference[] | undefined }[];
      readonly inodes: Writable<CompareOutput["inodes"][number]>[];
      readonly unreadable: { row: number; errno: number }[];
    },
  ): LiveEntry | undefined {
    const record = new Uint8Array(statLayout.size);
    const found = addon().statAt(input.dirFds[index] as number, row.name, record);
    if (found === -ENOENT) {
      output.differences.push({ row: index, fields: undefined });
      return undefined;
    }
    if (found < 0) {
      output.unreadable.push({ row: index, errno: -found });
      return undefined;
    }
    settlePlaceholder(record, input.dirFds[index] as number);
    const stat = readStat(record);
    const kind = kindOfMode(stat.mode);
    const isLink = row.kind === EntryKind.hardlink || row.linkEntry !== undefined;
    if (kind !== EntryKind.directory && (stat.nlink > 1 || row.linked || isLink)) {
      const linked = stat.nlink > 1;
      output.inodes.push({ row: index, device: deviceKey(stat.dev), ino: BigInt(stat.ino), linked });
    }
    // A further name: its object is compared, and that it is the same.
    if (isLink) return undefined;
    if (kind !== row.kind) {
      const fields = compareProperties(row, { ...propertiesOf(stat, undefined), kind }, input.options);
      output.differences.push({ row: index, fields });
      return undefined;
    }
    return { index, row, member, stat, fields: [], gathered: undefined, fd: -1 };
  }

  #compareBatch(input: CompareInput, batch: readonly LiveEntry[], unreadable: { row: number; errno: number }[]): void {
    try {
      this.#gather(input, batch);
      for (const live of batch) {
        const { row, member, gathered, stat } = live;
        const errno = gathered?.errno ?? EIO;
        live.fields = compareProperties(
          row,
          propertiesOf(stat, errno === 0 ? gathered : undefined, row),
          input.options,
        );
        if (errno !== 0 || gathered === undefined) {
          unreadable.push({ row: live.index, errno });
          continue;
        }
        if (gathered.attributeError !== 0) unreadable.push({ row: live.index, errno: gathered.attributeError });
        else {
          const archived = member?.attributes ?? row.attributes ?? [];
          live.fields.push(...compareAttributes(this.#visible(archived), this.#visible(gathered.attributes)));
        }
        live.fields.push(...compareSubvolume(row, liveSubvolume(input, live)));
        if (input.options.holes && live.fd >= 0) live.fields.push(...compareExtents(live.fd, row, member));
      }
      this.#compareContent(batch, unreadable);
    } finally {
      for (const { fd } of batch) if (fd >= 0) addon().close(fd);
    }
  }

  /** Opens the entries and takes what their stat does not tell. */
  #gather(input: CompareInput, batch: readonly LiveEntry[]): void {
    const native = addon();
    let next = 0;
    while (next < batch.length) {
      const rest = batch.slice(next);
      const { names, dirFds } = packNames(input, rest);
      const fds = new Int32Array(rest.length).fill(-1);
      let done = native.gather(dirFds, names, 0, rest.length, this.#gathered, fds);
      while (done === -ENOSPC && this.#gathered.length < limits.blockBytes) {
        this.#gathered = new Uint8Array(this.#gathered.length * 4);
        done = native.gather(dirFds, names, 0, rest.length, this.#gathered, fds);
      }
      if (done < 0) return; // told as unreadable
      const view = new DataView(this.#gathered.buffer);
      for (let i = 0, at = 0; i < done; i++) {
        const live = rest[i] as LiveEntry;
        live.gathered = readGathered(this.#gathered, view, at);
        live.fd = fds[i] as number;
        at += live.gathered.length;
      }
      next += done;
    }
  }

  /** Digests of the files of one block whose size is the archived one. Their descriptors are closed. */
  #compareContent(batch: readonly LiveEntry[], unreadable: { row: number; errno: number }[]): void {
    const files = batch.filter(
      ({ row, fd, stat }) => fd >= 0 && row.digest !== undefined && stat.sizeBytes === row.size,
    );
    const sizes = Float64Array.from(files, ({ row }) => row.size);
    const offsets = new Float64Array(files.length);
    let length = 0;
    for (const [i, size] of sizes.entries()) {
      offsets[i] = length;
      length += size;
    }
    this.#reserve(length);
    const native = this.#digest.name === "xxh128";
    const digests = new Uint8Array(native ? files.length * this.#digest.length : 0);
    const status = new Float64Array(files.length);
    const fds = Int32Array.from(files, ({ fd }) => fd);
    addon().readFiles(fds, sizes, offsets, files.length, this.#content, digests, status, new Uint8Array(0));
    for (const [i, live] of files.entries()) {
      live.fd = -1;
      const read = status[i] as number;
      if (read < 0) {
        unreadable.push({ row: live.index, errno: -read });
        continue;
      }
      const size = sizes[i] as number;
      const digest = native
        ? digests.subarray(i * this.#digest.length, (i + 1) * this.#digest.length)
        : this.#digestOf(offsets[i] as number, size);
      if (!equalBytes(digest, live.row.digest as Uint8Array)) live.fields.push({ field: "content" });
    }
  }

  #digestOf(offset: number, size: number): Uint8Array {
    const leaves = digestLeaves(this.#digest, this.#content, offset, Float64Array.of(0, size), 0, size);
    return digestOfLeaves(this.#digest, leaves, size);
  }

  #visible(attributes: readonly ExtendedAttribute[]): readonly ExtendedAttribute[] {
    if (this.#seesTrusted || attributes.length === 0) return attributes;
    return attributes.filter(({ name }) => !latin1(name).startsWith("trusted."));
  }

  #reserve(length: number): void {
    if (this.#content.length < length) this.#content = new Uint8Array(length);
  }
}

/** The subvolume that a live directory is the root of. */
function liveSubvolume(
  input: CompareInput,
  { index, row, stat }: LiveEntry,
): { readonly readOnly: boolean } | undefined {
  if (row.kind !== EntryKind.directory || row.depth === 0 || stat.ino !== subvolumeInode || stat.mountRoot) {
    return undefined;
  }
  const fd = openQuietly(input.dirFds[index] as number, row.name, O_DIRECTORY);
  if (fd < 0) return undefined;
  const found = subvolumeOf(fd);
  addon().close(fd);
  return found;
}

/** Kind, name length and name of each entry, as the addon's gather call wants them. */
function packNames(input: CompareInput, batch: readonly LiveEntry[]): { names: Uint8Array; dirFds: Int32Array } {
  const bytes = batch.reduce((sum, { row }) => sum + 2 + row.name.length, 0);
  const names = new Uint8Array(bytes);
  let at = 0;
  for (const { row } of batch) {
    names[at] = row.kind;
    names[at + 1] = row.name.length;
    names.set(row.name, at + 2);
    at += 2 + row.name.length;
  }
  return { names, dirFds: Int32Array.from(batch, ({ index }) => input.dirFds[index] as number) };
}

/** Without what opening told, its part counts as archived. */
function propertiesOf(stat: Stat, gathered: Gathered | undefined, row?: CatalogRow): EntryProperties {
  const kind = kindOfMode(stat.mode);
  const isDevice = kind === EntryKind.charDevice || kind === EntryKind.blockDevice;
  const target = gathered === undefined ? row?.symlinkTarget : gathered.link;
  return {
    kind,
    mode: stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
    size: stat.sizeBytes,
    mtime: stat.mtime,
    atime: stat.atime,
    ...(stat.btime === undefined ? {} : { btime: stat.btime }),
    ...(isDevice ? { device: stat.rdev } : {}),
    ...(kind === EntryKind.symlink && target !== undefined ? { symlinkTarget: target } : {}),
    inodeFlags: (gathered ?? row)?.inodeFlags ?? 0,
    projectId: (gathered ?? row)?.projectId ?? 0,
  };
}
