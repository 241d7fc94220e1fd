// The content of the preamble (docs/FORMAT.md, section 3): one PAX global header whose comment tells people what the file is and how stock tools
// restore it. tar and bsdtar pass over it silently. Readers never interpret it, they only make sure that it is nothing else: stock tools would see it.

import { decodeUtf8, isZeroRange, utf8 } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import type { Codec } from "../model/archive.ts";
import { paxRecordLength } from "./pax.ts";
import {
  headerTemplate,
  headerTemplateSum,
  longField,
  padded,
  shortField,
  tarBlockLength,
  ustar,
  writeChecksum,
  writeName,
  writeOctal,
} from "./ustar.ts";
import { checkHeader, readLong } from "./ustarDecoder.ts";

const globalHeaderType = 0x67;

/** The line that restores an archive without tsfsa, into the current directory. Without --xattrs-include tar silently drops all but user.*. */
export function stockRestoreCommand(codec: Codec, archive = "ARCHIVE"): string {
  return `${codec} -dc ${archive} | tar -xpf - --xattrs --xattrs-include='*' --acls --numeric-owner`;
}

/** Tar bytes of the preamble: a multiple of 512. */
export function encodePreamble(codec: Codec): Uint8Array {
  const comment =
    "This is a tsfsa archive of a Linux file system or directory. Restore it with: tsfsa restfs or tsfsa restdir. " +
    "Without tsfsa, as root in an empty directory: " +
    `${stockRestoreCommand(codec)} (this cannot tell whether the archive is whole: see tsfsa verify)`;
  const body = utf8(`comment=${comment}`);
  const length = paxRecordLength(body.length);
  const record = utf8(`${length} comment=${comment}\n`);
  const tar = new Uint8Array(tarBlockLength + padded(length));
  tar.set(headerTemplate);
  tar.set(record, tarBlockLength);
  const name = utf8("tsfsa");
  let sum = headerTemplateSum + globalHeaderType;
  sum += writeName(tar, ustar.name, name, 0, name.length);
  sum += writeOctal(tar, ustar.mode, shortField, 0o644);
  sum += writeOctal(tar, ustar.size, longField, length);
  tar[ustar.type] = globalHeaderType;
  writeChecksum(tar, 0, sum);
  return tar;
}

/** Throws ARCHIVE_DAMAGED or ARCHIVE_HOSTILE unless the tar bytes of a preamble are one global header with one comment. */
export function checkPreamble(tar: Uint8Array): void {
  checkHeader(tar, 0);
  const length = readLong(tar, 0, ustar.size);
  const end = tarBlockLength + length;
  const record = decodeUtf8(tar.subarray(tarBlockLength, end)) ?? "";
  const isComment = record.startsWith(`${length} comment=`) && record.indexOf("\n") === record.length - 1;
  const isAlone = tarBlockLength + padded(length) === tar.length && isZeroRange(tar, end, tar.length);
  if (tar[ustar.type] !== globalHeaderType || !isComment || !isAlone) {
    throw new TsfsaError("ARCHIVE_HOSTILE", "the preamble holds more than a comment");
  }
}
