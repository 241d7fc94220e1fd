// A loop device that lives as long as its descriptor: it clears itself with its last user, also after kill -9.

import { addon } from "./addon.ts";
import { LO_FLAGS_AUTOCLEAR, LO_FLAGS_DIRECT_IO, LO_FLAGS_READ_ONLY } from "./constants.ts";
import { check } from "./errors.ts";

export interface LoopDevice {
  readonly fd: number;
  readonly index: number;
  /** `/dev/loopN`. */
  readonly path: string;
  /** Closes the descriptor; the device goes when no mount and no other descriptor uses it. May be called again. */
  close(): void;
}

export interface LoopOptions {
  readonly readOnly: boolean;
  /** First byte of the backing file to show. */
  readonly offsetBytes?: number;
  /** Bytes to show; 0 or absent: all. */
  readonly sizeLimitBytes?: number;
  /** Logical sector size; 0 or absent: the kernel's choice. */
  readonly sectorSize?: number;
  /** Read and write past the page cache of the backing file (LO_FLAGS_DIRECT_IO); the kernel falls back where it cannot. */
  readonly directIo?: boolean;
  /** Shown as the name of the backing file, cut to 63 bytes. */
  readonly name?: Uint8Array;
}

/** A loop device on an open file or device. `backingFd` may be closed afterwards. Throws IO or NO_PERMISSION. */
export function attachLoop(backingFd: number, options: LoopOptions): LoopDevice {
  const out = new Uint32Array(1);
  const flags =
    LO_FLAGS_AUTOCLEAR |
    (options.readOnly ? LO_FLAGS_READ_ONLY : 0) |
    (options.directIo === true ? LO_FLAGS_DIRECT_IO : 0);
  const name = options.name ?? new Uint8Array(0);
  const fd = check(
    addon().attachLoop(
      backingFd,
      flags,
      options.offsetBytes ?? 0,
      options.sizeLimitBytes ?? 0,
      options.sectorSize ?? 0,
      name,
      out,
    ),
    "attaching a loop device",
    name,
  );
  const index = out[0] as number;
  let open = true;
  return {
    fd,
    index,
    path: `/dev/loop${index}`,
    close(): void {
      if (open) addon().close(fd);
      open = false;
    },
  };
}
