// Directories of a live source that were removed or replaced after the scan saw them, and were closed meanwhile: what stands in them is lost to
// the save, but the save goes on.

import { TsfsaError } from "../base/errors.ts";
import type { DirectoryHandle } from "../sys/directory.ts";
import { EMFILE, ENFILE, ENOMEM, errno } from "../sys/errors.ts";

/** Acquires a directory; gives its descriptor, or −errno where it cannot be had any more. Throws where the process lacks means. */
export function acquireIfThere(handle: DirectoryHandle): number {
  try {
    return handle.acquire();
  } catch (error) {
    const number = error instanceof TsfsaError ? errnoOf(error.context.errno) : undefined;
    if (number === undefined || number === EMFILE || number === ENFILE || number === ENOMEM) throw error;
    return -number;
  }
}

function errnoOf(name: string | undefined): number | undefined {
  return name === undefined ? undefined : (errno as Readonly<Record<string, number>>)[name];
}
