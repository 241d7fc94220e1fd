// How large the store of a copy-on-write snapshot must be, and when it must grow. Pure.

import { formatSize } from "../base/units.ts";
import type { SnapshotSize } from "../model/snapshot.ts";

/** Chunks of 4 KiB, LVM's default, and 16 bytes of metadata for each (dm-snap-persistent.c: struct disk_exception). */
export const chunkBytes = 4096;
const exceptionsPerChunk = chunkBytes / 16;

/** A store of this size cannot overflow: every chunk of the origin with its exception, and the header. */
export function completeStoreBytes(originBytes: number): number {
  const chunks = Math.ceil(originBytes / chunkBytes);
  return (chunks + Math.ceil(chunks / exceptionsPerChunk) + 2) * chunkBytes;
}

/** Share of the origin that is set aside where there is no room for all of it. */
const usualShare = 0.2;
/** Below this there is no use in trying: a header, metadata, and room for a few seconds of an idle system. */
const leastBytes = 4 * 1024 * 1024;

export interface Room {
  readonly originBytes: number;
  /** Free in the volume group or file system. */
  readonly freeBytes: number;
  /** Granularity: a multiple of 512. */
  readonly unitBytes: number;
  readonly size?: SnapshotSize;
  /** The store never becomes larger. */
  readonly maxBytes?: number;
}

export interface StorePlan {
  readonly bytes: number;
  /** It holds every possible change: it cannot overflow. */
  readonly complete: boolean;
}

/** Size of the store at first, or why there can be none. */
export function planStore({ originBytes, freeBytes, unitBytes, size, maxBytes }: Room): StorePlan | string {
  const up = (bytes: number): number => Math.ceil(bytes / unitBytes) * unitBytes;
  const down = (bytes: number): number => Math.floor(bytes / unitBytes) * unitBytes;
  const complete = up(completeStoreBytes(originBytes));
  const maximum = down(maxBytes ?? Number.POSITIVE_INFINITY);
  const room = down(freeBytes);
  const limit = Math.min(room, complete, maximum);
  const wanted =
    size === undefined
      ? usual(complete, limit, originBytes)
      : "bytes" in size
        ? size.bytes
        : (originBytes * size.percent) / 100;
  const bytes = Math.min(up(wanted), complete);
  const least = Math.min(leastBytes, complete);
  if (bytes < least) return `--snapshot-size is too small: expected at least ${formatSize(least)}`;
  if (bytes > maximum) return `--snapshot-max is too small: expected at least ${formatSize(bytes)}`;
  if (bytes > room) return `it has room for ${formatSize(room)}, expected at least ${formatSize(bytes)}`;
  return { bytes, complete: bytes === complete };
}

function usual(complete: number, limit: number, originBytes: number): number {
  return limit >= complete ? complete : Math.max(Math.min(originBytes * usualShare, limit), leastBytes);
}

/** Fill at which a store is made to grow; time for which the present rate must last, else it grows earlier. */
const growShare = 0.7;
const horizonSeconds = 20;
/** Fill beyond which a store that cannot grow is given up, before the kernel does so. */
const lostShare = 0.97;

export interface Fill {
  readonly usedBytes: number;
  readonly storeBytes: number;
  readonly originBytes: number;
  readonly bytesPerSecond: number;
  readonly unitBytes: number;
  readonly freeBytes: number;
  readonly maxBytes?: number;
}

/** Bytes to grow by now; 0: none are needed, or none can be had. */
export function growth({
  usedBytes,
  storeBytes,
  originBytes,
  bytesPerSecond,
  unitBytes,
  freeBytes,
  maxBytes,
}: Fill): number {
  const ahead = usedBytes + bytesPerSecond * horizonSeconds;
  if (usedBytes < storeBytes * growShare && ahead < storeBytes) return 0;
  const wanted = Math.max(storeBytes * 0.25, bytesPerSecond * 2 * horizonSeconds, unitBytes);
  const up = (bytes: number): number => Math.ceil(bytes / unitBytes) * unitBytes;
  const most = Math.min(up(completeStoreBytes(originBytes)), maxBytes ?? Number.POSITIVE_INFINITY);
  const room = Math.min(freeBytes, most - storeBytes);
  return Math.max(0, Math.floor(Math.min(up(wanted), room) / unitBytes) * unitBytes);
}

/** A store that holds every possible change may be full. */
export function aboutToOverflow({
  usedBytes,
  storeBytes,
  originBytes,
}: Pick<Fill, "usedBytes" | "storeBytes" | "originBytes">): boolean {
  return usedBytes >= storeBytes * lostShare && storeBytes < completeStoreBytes(originBytes);
}
