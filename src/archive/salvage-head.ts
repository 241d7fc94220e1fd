// A head for an archive that has lost both of its own: what can be told from the blocks themselves. Types, labels and UUIDs of file systems cannot.

import { decodeUtf8, equalBytes, toBase64, toHex, utf8 } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { createDecoder, type FrameDecoder } from "../codec/codec.ts";
import { decodeMember } from "../format/memberDecoder.ts";
import { decodeBlockRows } from "../format/segmentDecoder.ts";
import type { Codec, Head, SourceDescription, Summary } from "../model/archive.ts";
import type { CatalogRow } from "../model/catalog.ts";
import { EntryKind } from "../model/entry.ts";
import { EntryPaths } from "./entry-paths.ts";
import type { ArchiveInput } from "./input.ts";
import type { GroupCatalog } from "./reader.ts";
import type { FoundBlock, Remains } from "./salvage-scan.ts";

const slash = 0x2f;
const megabyte = 1024 * 1024;

/** `catalogs`: of the segments that are left. */
export async function guessHead(
  remains: Remains,
  input: ArchiveInput,
  catalogs: Iterable<GroupCatalog | undefined>,
  summary: Summary | undefined,
): Promise<Head> {
  const codec = remains.blocks[0]?.record.codec ?? "zstd";
  const prefixes = await new PrefixSearch(remains, input, codec).run(catalogs);
  const highest = Math.max(0, ...prefixes.keys());
  const count = Math.min(Math.max(highest + 1, summary?.sources.length ?? 1), limits.sources);
  return {
    format: remains.format,
    oldestReader: remains.format,
    archiveId: toHex(remains.archiveId),
    creator: "",
    created: new Date().toISOString().replace(/\.\d+Z$/, "Z"),
    label: "",
    codec,
    level: codec === "zstd" ? 3 : 1,
    blockSize: 4 * megabyte,
    digest: remains.digest.name,
    preamble: { length: 1, digest: "00".repeat(remains.digest.length) },
    sources: Array.from({ length: count }, (_, id) => sourceOf(prefixes.get(id) ?? utf8(`${id}/`))),
  };
}

function sourceOf(prefix: Uint8Array): SourceDescription {
  const text = decodeUtf8(prefix);
  const name = text === undefined ? { prefix: "./", prefixBase64: toBase64(prefix) } : { prefix: text };
  return { kind: "directory", ...name, origin: "" };
}

/** What the member names of each source begin with. */
class PrefixSearch {
  readonly #blocks: ReadonlyMap<number, FoundBlock>;
  readonly #input: ArchiveInput;
  readonly #codec: Codec;
  readonly #digestLength: number;
  readonly #prefixes = new Map<number, Uint8Array>();

  constructor({ blocks, digest }: Remains, input: ArchiveInput, codec: Codec) {
    this.#blocks = new Map(
      blocks.flatMap((block) => {
        const { proven, record } = block;
        const isPlain = record.continuation === undefined && !record.end && record.codec === codec;
        return proven && isPlain ? [[record.number, block] as const] : [];
      }),
    );
    this.#input = input;
    this.#codec = codec;
    this.#digestLength = digest.length;
  }

  async run(catalogs: Iterable<GroupCatalog | undefined>): Promise<ReadonlyMap<number, Uint8Array>> {
    const decoder = await createDecoder(this.#codec);
    const wanted = new Set([...this.#blocks.values()].map(({ record }) => record.sourceId));
    for (const catalog of catalogs) {
      if (wanted.size === this.#prefixes.size) break;
      if (catalog !== undefined) await this.#fromCatalog(catalog, decoder);
    }
    for (const block of this.#blocks.values()) {
      const { sourceId } = block.record;
      if (this.#prefixes.has(sourceId)) continue;
      const path = await this.#memberName(block, 0, decoder);
      if (path !== undefined) this.#prefixes.set(sourceId, likelyPrefix(path, sourceId));
    }
    return this.#prefixes;
  }

  /** Exactly: a member's name without the path that the catalog gives it. */
  async #fromCatalog(catalog: GroupCatalog, decoder: FrameDecoder): Promise<void> {
    const paths = new EntryPaths(Number.MAX_SAFE_INTEGER);
    paths.enter({ catalog, blocks: [] });
    for (const [i, outline] of catalog.blocks.entries()) {
      const block = this.#blocks.get(catalog.header.firstBlock + i);
      if (block === undefined) {
        for (const row of decodeBlockRows(outline, this.#digestLength)) paths.next(row);
        continue;
      }
      let source = block.record.sourceId;
      let isFound = false;
      for (const [index, row] of decodeBlockRows(outline, this.#digestLength).entries()) {
        if (row.depth === 0 && index > 0) source++;
        const path = paths.next(row);
        if (isFound || !hasMember(row)) continue;
        isFound = true;
        if (this.#prefixes.has(source)) continue;
        const name = await this.#memberName(block, row.offset, decoder);
        if (name === undefined) continue;
        const isBelow = row.kind === EntryKind.directory && path.length > 0;
        const below = isBelow ? Buffer.concat([path, Buffer.of(slash)]) : path;
        const cut = name.length - below.length;
        if (cut > 0 && equalBytes(name.subarray(cut), below)) this.#prefixes.set(source, name.slice(0, cut));
      }
    }
  }

  async #memberName(block: FoundBlock, offset: number, decoder: FrameDecoder): Promise<Uint8Array | undefined> {
    const { compressedLength, uncompressedLength } = block.record;
    this.#input.seek(block.frameOffset);
    const tar = new Uint8Array(uncompressedLength);
    try {
      decoder.decompress(tar, await this.#input.take(compressedLength));
      return decodeMember(tar, offset).path.slice();
    } catch (error) {
      if (error instanceof TsfsaError) return undefined; // told when the block is used
      throw error;
    }
  }
}

/** Of one source `./`, of several file systems `N/`; of several directories at least the first component of each. */
function likelyPrefix(path: Uint8Array, source: number): Uint8Array {
  for (const prefix of [utf8("./"), utf8(`${source}/`)]) {
    if (equalBytes(path.subarray(0, prefix.length), prefix)) return prefix;
  }
  return path.slice(0, path.indexOf(slash) + 1 || path.length);
}

function hasMember({ kind }: CatalogRow): boolean {
  return kind !== EntryKind.socket && kind !== EntryKind.absent;
}
