// A live file whose archived twin has several blocks: its leaves are digested by many workers, its holes passed over, and the digest is compared once the
// archive tells it.

import type { Digest, FileDigest } from "../codec/digest.ts";
import { leafSizeBytes, limits } from "../base/limits.ts";
import type { CatalogRow } from "../model/catalog.ts";
import type { FieldDifference } from "../model/difference.ts";
import { addon } from "../sys/addon.ts";
import { dataSegments } from "../sys/data-runs.ts";
import { openQuietly } from "../sys/open-quietly.ts";
import { isFile, statDescriptor } from "../sys/stat.ts";
import type { LeavesInput, LeavesOutput } from "./protocol.ts";

/** Bytes of data that one job reads. */
const bytesPerJob = 8 * 1024 * 1024;
const runsMax = 4 * limits.sparseSegments;

export class LiveFile {
  readonly entry: number;
  readonly row: CatalogRow;
  readonly source: number;
  readonly path: Uint8Array;
  readonly fd: number;
  /** What else of the file differs. */
  fields: readonly FieldDifference[] = [];
  /** Of reading it; 0: none. */
  errno = 0;
  readonly #digest: FileDigest;
  readonly #digestLength: number;

  private constructor(place: Pick<LiveFile, "entry" | "row" | "source" | "path">, fd: number, digest: Digest) {
    this.entry = place.entry;
    this.row = place.row;
    this.source = place.source;
    this.path = place.path;
    this.fd = fd;
    this.#digest = digest.file();
    this.#digestLength = digest.length;
  }

  /** Undefined: it is no file of the archived size, which is told elsewhere. */
  static open(
    dirFd: number,
    place: Pick<LiveFile, "entry" | "row" | "source" | "path">,
    digest: Digest,
  ): LiveFile | undefined {
    const fd = openQuietly(dirFd, place.row.name);
    if (fd < 0) return undefined;
    const { mode, sizeBytes } = statDescriptor(fd);
    if (isFile(mode) && sizeBytes === place.row.size) return new LiveFile(place, fd, digest);
    addon().close(fd);
    return undefined;
  }

  /** The ranges that hold data, in order, cut between leaves. */
  *ranges(): Generator<LeavesInput, void> {
    const { size } = this.row;
    const runs = dataSegments(this.fd, size, runsMax, undefined) ?? Float64Array.of(0, size);
    let segments: number[] = [];
    let bytes = 0;
    let start = 0;
    const cut = (end: number): LeavesInput => {
      const range = { fd: this.fd, start, end, segments: Float64Array.from(segments) };
      segments = [];
      bytes = 0;
      return range;
    };
    for (let i = 0; i < runs.length; i += 2) {
      const end = (runs[i] as number) + (runs[i + 1] as number);
      for (let at = runs[i] as number; at < end; ) {
        const leafEnd = Math.min((Math.floor(at / leafSizeBytes) + 1) * leafSizeBytes, end);
        const leafStart = at - (at % leafSizeBytes);
        if (bytes + leafSizeBytes > bytesPerJob && leafStart >= (segments.at(-2) ?? 0) + (segments.at(-1) ?? 0)) {
          yield cut(leafStart);
        }
        if (segments.length === 0) start = leafStart;
        segments.push(at, leafEnd - at);
        bytes += leafEnd - at;
        at = leafEnd;
      }
    }
    if (segments.length > 0) yield cut(size);
  }

  /** What a range gave; in order. */
  add({ leaves, errno }: LeavesOutput): void {
    if (errno !== 0) this.errno = errno;
    for (const [i, number] of leaves.numbers.entries()) {
      this.#digest.addLeaf(number, leaves.digests.subarray(i * this.#digestLength, (i + 1) * this.#digestLength));
    }
  }

  /** True when the content has this digest. Closes the file. */
  finish(expected: Uint8Array): boolean {
    this.close();
    return this.errno === 0 && Buffer.compare(this.#digest.finish(this.row.size), expected) === 0;
  }

  close(): void {
    addon().close(this.fd);
  }
}
