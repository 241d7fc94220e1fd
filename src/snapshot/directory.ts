// Descriptors of directories that live as long as a Cleanup.

import { closeSync, constants, openSync } from "node:fs";
import type { Cleanup } from "../filesystem/cleanup.ts";

export function openDirectory(cleanup: Cleanup, path: string): number {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  cleanup.defer(() => closeSync(fd));
  return fd;
}
