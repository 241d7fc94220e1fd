// The head record's payload: JSON that says what the archive is, how it is coded, and what was saved (docs/FORMAT.md, section 4).
// Parameters of a file system are carried as they are; whoever makes a file system from them validates them.

import { fromBase64, fromHex, toBase64, utf8 } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { FilesystemDescription, Head, ImageDescription, SourceDescription } from "../model/archive.ts";
import { decodeJson, encodeJson, type Fields } from "./json.ts";
import { formatVersion } from "./version.ts";

const MiB = 1024 * 1024;

export function encodeHead(head: Head): Uint8Array {
  return encodeJson(head);
}

/** The bytes a member name of this source begins with; ends in `/`. */
export function prefixBytes(source: SourceDescription): Uint8Array {
  return source.prefixBase64 === undefined ? utf8(source.prefix) : (fromBase64(source.prefixBase64) as Uint8Array);
}

/**
 * Reads and checks a head. Throws ARCHIVE_VERSION when the archive needs a newer reader, before anything that a newer format may have
 * changed is looked at; ARCHIVE_DAMAGED for illegal fields.
 */
export function decodeHead(payload: Uint8Array): Head {
  const fields = decodeJson(payload, "head");
  const oldestReader = fields.integer("oldestReader", 1);
  if (oldestReader > formatVersion) {
    throw new TsfsaError(
      "ARCHIVE_VERSION",
      `the archive needs a reader of format ${oldestReader}, this one knows ${formatVersion}`,
      {
        hints: ["use a newer tsfsa", "restore with the stock command that stands at the start of the archive"],
      },
    );
  }
  const preamble = fields.object("preamble");
  const blockSize = fields.integer("blockSize", limits.blockSizeMin, limits.blockSizeMax);
  if (blockSize % MiB !== 0) throw fields.illegal("blockSize", "a multiple of 1 MiB");
  const digest = fields.oneOf("digest", ["xxh128", "sha256", "blake3"]);
  return {
    format: fields.integer("format", 1),
    oldestReader,
    archiveId: archiveId(fields),
    creator: fields.string("creator"),
    created: created(fields),
    label: fields.string("label"),
    codec: fields.oneOf("codec", ["zstd", "lz4"]),
    level: fields.integer("level", -131_072, 22),
    blockSize,
    digest,
    preamble: {
      length: preamble.integer("length", 1, limits.frameBytes),
      digest: preamble.matching(
        "digest",
        digest === "xxh128" ? /^[0-9a-f]{32}$/ : /^[0-9a-f]{64}$/,
        "the hex digits of a digest",
      ),
    },
    sources: fields.objects("sources", 1, limits.sources).map(decodeSource),
  };
}

function archiveId(fields: Fields): string {
  const text = fields.matching("archiveId", /^[0-9a-f]{32}$/, "32 hex digits");
  if (fromHex(text)?.every((byte) => byte === 0)) throw fields.illegal("archiveId", "an id that is not zero");
  return text;
}

function created(fields: Fields): string {
  const text = fields.matching("created", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, "RFC 3339 in UTC, whole seconds");
  if (Number.isNaN(Date.parse(text))) throw fields.illegal("created", "a time that exists");
  return text;
}

function decodeSource(fields: Fields): SourceDescription {
  const kind = fields.oneOf("kind", ["filesystem", "directory"]);
  const prefix = fields.string("prefix");
  const prefixBase64 = fields.has("prefixBase64") ? fields.string("prefixBase64") : undefined;
  const bytes = prefixBase64 === undefined ? utf8(prefix) : fromBase64(prefixBase64);
  if (bytes === undefined || !isLegalPrefix(bytes)) throw fields.illegal("prefix", "a relative name that ends in /");
  if ((kind === "filesystem") !== fields.has("filesystem")) {
    throw fields.illegal("filesystem", "an object for file systems, and only for them");
  }
  return {
    kind,
    prefix,
    ...(prefixBase64 === undefined ? {} : { prefixBase64 }),
    origin: fields.string("origin"),
    ...(kind === "filesystem" ? { filesystem: decodeFilesystem(fields.object("filesystem")) } : {}),
    ...(kind === "directory" && fields.has("image") ? { image: decodeImage(fields.object("image")) } : {}),
  };
}

function decodeImage(fields: Fields): ImageDescription {
  const sizeBytes = fields.integer("sizeBytes", 1);
  return {
    file: fields.string("file"),
    sizeBytes,
    endBytes: fields.integer("endBytes", 0, sizeBytes),
    doubt: fields.stringOrNull("doubt"),
    type: fields.stringOrNull("type"),
    ...(fields.has("filesystem") ? { filesystem: decodeFilesystem(fields.object("filesystem")) } : {}),
  };
}

/** `./`, or components without `.`, `..` and NUL, each followed by a slash. */
function isLegalPrefix(bytes: Uint8Array): boolean {
  if (bytes.length > limits.pathBytes || bytes.includes(0)) return false;
  const text = String.fromCharCode(...bytes.subarray(0, 2));
  if (bytes.length === 2 && text === "./") return true;
  let length = 0;
  let dots = 0;
  for (const byte of bytes) {
    if (byte !== 0x2f) {
      length++;
      if (byte === 0x2e) dots++;
      continue;
    }
    if (length === 0 || length > limits.nameBytes || (dots === length && dots <= 2)) return false;
    length = 0;
    dots = 0;
  }
  return bytes.length > 0 && length === 0;
}

function decodeFilesystem(fields: Fields): FilesystemDescription {
  const labelBase64 = fields.has("labelBase64") ? fields.string("labelBase64") : undefined;
  if (labelBase64 !== undefined && !isCanonicalBase64(labelBase64)) throw fields.illegal("labelBase64", "base64");
  return {
    type: fields.matching("type", /^[a-z0-9_.-]{1,32}$/, "the name of a file system type"),
    label: fields.stringOrNull("label"),
    ...(labelBase64 === undefined ? {} : { labelBase64 }),
    uuid: fields.stringOrNull("uuid"),
    sizeBytes: fields.integer("sizeBytes"),
    usedBytes: fields.integer("usedBytes"),
    blockSize: fields.integer("blockSize"),
    parameters: fields.record("parameters"),
  };
}

function isCanonicalBase64(text: string): boolean {
  const bytes = fromBase64(text);
  return bytes !== undefined && toBase64(bytes) === text;
}
