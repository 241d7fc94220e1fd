// What can be had of the files of a damaged block. A file whose digest in the catalog is right is whole, whatever happened around it, and gets its own
// name; of another the part that was decompressed is kept under a marked name, with zeros for the rest. Extended attributes stand in the tar bytes
// alone, where nothing proves them: they are left out.

import { equalBytes } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import type { Digest } from "../codec/digest.ts";
import { digestLeaves, digestOfLeaves } from "../codec/leaves.ts";
import { decodeMember, type Member } from "../format/memberDecoder.ts";
import { decodeBlockRows } from "../format/segmentDecoder.ts";
import type { CatalogRow } from "../model/catalog.ts";
import { EntryKind } from "../model/entry.ts";
import { addon } from "../sys/addon.ts";
import { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } from "../sys/constants.ts";
import { EntryCreator, segmentsOf, writeSegments } from "./create.ts";
import { partRow, withMarkedName } from "./marked.ts";
import { differenceOf, firstBytes } from "./member-row.ts";
import { MetadataWriter, noName } from "./metadata.ts";
import { type KeptFile, renamedRow, type UnpackInput, type UnpackOutput, type WritePolicy } from "./protocol.ts";
import { memberPaths } from "./row-path.ts";

export class FileKeeper {
  readonly #policy: WritePolicy;
  readonly #digest: Digest;
  readonly #tar: Uint8Array;

  /** `tar`: what could be decompressed of the block, from its front. */
  constructor(policy: WritePolicy, digest: Digest, tar: Uint8Array) {
    this.#policy = policy;
    this.#digest = digest;
    this.#tar = tar;
  }

  keep(input: UnpackInput): Pick<UnpackOutput, "kept" | "inodes" | "warnings"> {
    const rows = decodeBlockRows(input, this.#digest.length);
    const pathOf = memberPaths(rows, input);
    const creator = new EntryCreator(this.#policy, this.#digest, this.#tar);
    const kept = new Map<number, KeptFile>();
    for (const [index, row] of rows.entries()) {
      const dirFd = input.dirFds[index] as number;
      // A file of several blocks is dealt with as a whole.
      if (row.kind !== EntryKind.file || dirFd < 0 || row.continued) continue;
      const member = this.#memberOf(row, pathOf(index));
      if (member === undefined) continue;
      const named = renamedRow(row, input.renamed.get(index));
      const hadAttributes = member.attributes.length > 0;
      if (this.#isWhole(row, member)) {
        const bare = { ...member, attributes: [] };
        creator.add({ index, row: named, member: bare, dirFd, path: () => pathOf(index) });
        kept.set(index, { whole: true, name: named.name, bytes: row.size, hadAttributes });
        continue;
      }
      const name = this.#keepPart(named, member, dirFd);
      const bytes = member.dataAvailable;
      if (name !== undefined) kept.set(index, { whole: false, name, bytes, hadAttributes });
    }
    for (const index of creator.failed) kept.delete(index);
    return { kept, inodes: creator.inodes, warnings: creator.warnings };
  }

  /** The member where the catalog says that it stands, if it is the one that the catalog means. */
  #memberOf(row: CatalogRow, path: Uint8Array): Member | undefined {
    if (row.offset >= this.#tar.length) return undefined;
    try {
      const member = decodeMember(this.#tar, row.offset);
      return equalBytes(member.path, path) && differenceOf(member, row) === undefined ? member : undefined;
    } catch (error) {
      if (error instanceof TsfsaError) return undefined;
      throw error;
    }
  }

  #isWhole(row: CatalogRow, member: Member): boolean {
    if (row.digest === undefined || member.dataAvailable < member.dataLength) return false;
    const leaves = digestLeaves(this.#digest, this.#tar, member.dataOffset, segmentsOf(member), 0, row.size);
    return equalBytes(digestOfLeaves(this.#digest, leaves, row.size), row.digest);
  }

  /** Returns the marked name; undefined where there is nothing to keep, or it cannot be written. */
  #keepPart(row: CatalogRow, member: Member, dirFd: number): Uint8Array | undefined {
    if (member.dataAvailable <= 0) return undefined;
    const native = addon();
    const flags = O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW;
    const [fd, name] = withMarkedName(row.name, (marked) => native.openAt(dirFd, marked, flags, 0o600, 0));
    if (fd < 0) return undefined;
    try {
      const runs = firstBytes(segmentsOf(member), member.dataAvailable);
      const written = writeSegments(fd, this.#tar, member.dataOffset, runs, row.size);
      if (written >= 0) {
        new MetadataWriter(this.#policy, () => {}).apply({ fd, name: noName }, partRow(row), []);
        return name;
      }
      native.unlinkAt(dirFd, name, 0);
      return undefined;
    } finally {
      native.close(fd);
    }
  }
}
