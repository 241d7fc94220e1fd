// The folder of a new archive, open from the start: when the archive is whole, nothing that could fail stands between it and its durable name.

import { closeSync, constants, fsync, openSync } from "node:fs";
import { dirname } from "node:path";
import { promisify } from "node:util";
import type { Descriptor } from "./descriptor.ts";
import { cannotCreate, cannotName } from "./sink-errors.ts";

const fsyncAsync = promisify(fsync);

export class Folder {
  readonly #archive: string;
  /** Undefined: the folder can be written, but not read. */
  readonly #fd: number | undefined;

  /** Throws IO or NO_PERMISSION where there is no such folder. */
  constructor(archive: string) {
    this.#archive = archive;
    this.#fd = openFolder(archive);
  }

  /** Makes the name of the archive durable. Throws IO; the archive is whole and in its place all the same. */
  async sync(file: Descriptor): Promise<void> {
    try {
      // Syncing the file once more takes its name along on the file systems of Linux.
      await fsyncAsync(this.#fd ?? file.fd);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EINVAL" || code === "EOPNOTSUPP") return; // a file system that has no such thing
      throw cannotName(this.#archive, error);
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
  }
}

function openFolder(archive: string): number | undefined {
  try {
    return openSync(dirname(archive), constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EACCES") return undefined;
    throw cannotCreate(archive, error);
  }
}
