// One save of a directory without threads, and everything it told.

import { closeSync, constants, openSync } from "node:fs";
import { formatVersion } from "../../../src/format/version.ts";
import type { DigestName, Summary } from "../../../src/model/archive.ts";
import type { Warning } from "../../../src/model/events.ts";
import type { Compression } from "../../../src/model/options.ts";
import type { BlockSource } from "../../../src/save/protocol.ts";
import type { SaveRoot } from "../../../src/save/roots.ts";
import { saveArchive } from "../../../src/save/save.ts";
import { InlinePool, type InlinePoolOptions } from "./inline-pool.ts";
import { MemorySink } from "./memory-sink.ts";

const MiB = 1024 * 1024;

export interface SaveTreeOptions extends InlinePoolOptions {
  readonly workers?: number;
  readonly compression?: Partial<Compression>;
  readonly digest?: DigestName;
  readonly excludes?: readonly string[];
  readonly only?: readonly string[];
  readonly excludeCaches?: boolean;
  readonly crossMounts?: boolean;
  readonly live?: boolean;
  readonly signal?: AbortSignal;
  readonly sink?: MemorySink;
  /** Read the only root from the blocks of this image instead; its path is not opened. */
  readonly block?: BlockSource;
  /** Use real threads (of dist/) instead. */
  readonly threads?: boolean;
}

export interface SavedTree {
  readonly archive: Buffer;
  readonly summary: Summary;
  readonly warnings: readonly Warning[];
  readonly pool: InlinePool | undefined;
}

/** `path latin1: CODE` of each warning, sorted. */
export function told(warnings: readonly Warning[]): string[] {
  return warnings.map(({ code, path }) => `${Buffer.from(path).toString("latin1")}: ${code}`).toSorted();
}

export async function saveTree(roots: string | readonly string[], options: SaveTreeOptions = {}): Promise<SavedTree> {
  const paths = typeof roots === "string" ? [roots] : roots;
  const sink = options.sink ?? new MemorySink();
  const compression: Compression = { codec: "zstd", level: 1, blockSize: MiB, ...options.compression };
  const { block } = options;
  const fds = (block === undefined ? paths : []).map((path) =>
    openSync(path, constants.O_RDONLY | constants.O_DIRECTORY),
  );
  const warnings: Warning[] = [];
  let pool: InlinePool | undefined;
  try {
    const only = options.only?.map((path) => Buffer.from(path, "latin1"));
    const { summary } = await saveArchive(
      {
        head: {
          format: formatVersion,
          oldestReader: formatVersion,
          archiveId: "00112233445566778899aabbccddeeff",
          creator: "test",
          created: "2026-01-01T00:00:00Z",
          label: "",
          codec: compression.codec,
          level: compression.level,
          blockSize: compression.blockSize,
          digest: options.digest ?? "xxh128",
          sources: paths.map((_, id) => ({
            kind: "directory",
            prefix: paths.length === 1 ? "./" : `${id}/`,
            origin: "test",
          })),
        },
        roots: (block === undefined ? fds.map((rootFd) => ({ rootFd })) : [{ rootFd: 2, block }]).map(
          (root): SaveRoot => ({
            ...root,
            filter: { excludes: options.excludes ?? [], only },
            excludeCaches: options.excludeCaches ?? false,
            crossMounts: options.crossMounts ?? false,
          }),
        ),
        compression,
        workers: options.workers ?? 2,
        recheck: options.live ?? false,
      },
      sink,
      {
        reporter: {
          warning: (warning) => warnings.push({ ...warning, path: warning.path.slice() }),
          progress: () => {},
          step: () => {},
        },
        signal: options.signal ?? new AbortController().signal,
        ...(options.threads === true
          ? {}
          : { startPool: (data, trees) => (pool = new InlinePool(data, trees, options)) }),
      },
    );
    return { archive: sink.bytes, summary, warnings, pool };
  } finally {
    for (const fd of fds) closeSync(fd);
  }
}
