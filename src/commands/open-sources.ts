// The sources of savefs, opened the way that was asked for: through mounts, or from their blocks.

import { rootInode } from "../filesystem/ext/filesystem.ts";
import { openBlockSource } from "../filesystem/open-block-source.ts";
import { openSource } from "../filesystem/open-source.ts";
import type { FrozenSource, OpenSource } from "../filesystem/types.ts";
import type { SaveOptions } from "../model/options.ts";
import type { SaveRoot } from "../save/roots.ts";

export interface SaveSource {
  readonly opened: FrozenSource;
  /** What saving reads of it. */
  readonly root: Pick<SaveRoot, "rootFd" | "block">;
  /** What there is to say of how it was opened, verbosely. */
  readonly step: string;
}

/** Throws SOURCE_*, UNSUPPORTED. */
export async function openSaveSource(path: string, options: SaveOptions): Promise<SaveSource> {
  if (options.reader === "mount") return mountedSource(path, await openSource(path, { allowRw: options.allowRw }));
  const opened = await openBlockSource(path);
  const { fd, overlay } = opened;
  const replayed = overlay.size === 0 ? "" : `, ${overlay.size} blocks of its journal replayed in memory`;
  const step = `${path}: ${opened.description.type}, read from its blocks${replayed}`;
  return { opened, root: { rootFd: rootInode, block: { fd, overlay } }, step };
}

export function mountedSource(path: string, opened: OpenSource): SaveSource {
  const state = opened.frozen ? "frozen" : "writable by others";
  return { opened, root: { rootFd: opened.rootFd }, step: `${path}: ${opened.description.type}, ${state}` };
}
