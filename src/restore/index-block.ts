// Rows made from the tar bytes of a block whose catalog segment is lost: all that tar knows. Inode flags, project ids and access times are gone with the
// segment; digests are made anew, of content that the block's own digest has proved.

import { TsfsaError } from "../base/errors.ts";
import { decodeMembers, type Member } from "../format/memberDecoder.ts";
import { RowEncoder } from "../format/segment.ts";
import { EntryKind } from "../model/entry.ts";
import type { IndexOutput } from "./protocol.ts";

/** `prefixes`: member name prefixes of the sources; `digestOf`: of the content of a file that stands in the block as a whole. */
export function indexBlock(
  tar: Uint8Array,
  prefixes: readonly Uint8Array[],
  digestOf: (member: Member) => Uint8Array,
): IndexOutput {
  const encoder = new RowEncoder();
  let firstPath: Uint8Array | undefined;
  decodeMembers(tar, (member) => {
    firstPath ??= member.path.slice();
    const prefix = prefixes.find((candidate) => startsWith(member.path, candidate));
    if (prefix === undefined) {
      throw new TsfsaError("ARCHIVE_HOSTILE", "the archive has an entry outside of its sources", {
        path: member.path.slice(),
      });
    }
    const components = componentsBelow(member.path, prefix);
    const continued = member.dataAvailable < member.dataLength;
    encoder.add({
      kind: member.kind,
      depth: components.length,
      name: components.at(-1) ?? new Uint8Array(0),
      offset: member.headerOffset,
      mode: member.mode,
      uid: member.uid,
      gid: member.gid,
      size: sizeOf(member),
      mtime: member.mtime,
      atime: member.mtime,
      inodeFlags: 0,
      projectId: 0,
      // Tar does not say who has several names: anybody may.
      linked: member.kind !== EntryKind.directory && member.kind !== EntryKind.hardlink,
      changed: false,
      damaged: false,
      sparse: member.sparse !== undefined,
      attributesLost: true,
      continued,
      ...(member.kind === EntryKind.file && !continued ? { digest: digestOf(member) } : {}),
      ...(member.device === undefined ? {} : { device: member.device }),
      ...(member.kind === EntryKind.symlink ? { symlinkTarget: member.linkPath } : {}),
    });
  });
  const { count, rows, digests } = encoder.finish();
  return { damage: undefined, count, rows, digests, firstPath: firstPath ?? new Uint8Array(0) };
}

function sizeOf(member: Member): number {
  if (member.kind === EntryKind.file) return member.size;
  return member.kind === EntryKind.symlink ? (member.linkPath as Uint8Array).length : 0;
}

export function startsWith(path: Uint8Array, prefix: Uint8Array): boolean {
  return path.length >= prefix.length && Buffer.compare(path.subarray(0, prefix.length), prefix) === 0;
}

/** Components of a member name below its prefix; none for the root. */
export function componentsBelow(path: Uint8Array, prefix: Uint8Array): Uint8Array[] {
  const components: Uint8Array[] = [];
  const end = path.at(-1) === 0x2f ? path.length - 1 : path.length;
  for (let start = prefix.length; start < end; ) {
    const slash = path.indexOf(0x2f, start);
    const stop = slash < 0 || slash > end ? end : slash;
    components.push(path.slice(start, stop));
    start = stop + 1;
  }
  return components;
}
