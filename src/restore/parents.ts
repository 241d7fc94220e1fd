// The directories that the rows of a block go to, as descriptors for the jobs that write them: a bounded number at a time.

import type { DirectoryHandle } from "../sys/directory.ts";

/** Directory of each row; undefined: the row is not restored. */
export type Parents = readonly (DirectoryHandle | undefined)[];

/** A run [from, to) of rows. */
export type Section = readonly [from: number, to: number];

export interface HeldDirectories {
  /** A descriptor for each row of the block, −1 outside of the section. */
  readonly dirFds: Int32Array;
  release(): void;
}

/** The rows in runs that need at most `directories` descriptors each; at least one run. */
export function sectionsOf(parents: Parents, directories: number): Section[] {
  const sections: Section[] = [];
  let from = 0;
  let seen = new Set<DirectoryHandle>();
  for (const [index, parent] of parents.entries()) {
    if (parent === undefined || seen.has(parent)) continue;
    if (seen.size >= directories) {
      sections.push([from, index]);
      from = index;
      seen = new Set();
    }
    seen.add(parent);
  }
  sections.push([from, parents.length]);
  return sections;
}

/** Opens the directories of a section. */
export function holdDirectories(parents: Parents, [from, to]: Section): HeldDirectories {
  const held = new Map<DirectoryHandle, number>();
  const release = (): void => {
    for (const handle of held.keys()) handle.release();
  };
  const dirFds = new Int32Array(parents.length).fill(-1);
  try {
    for (let index = from; index < to; index++) {
      const parent = parents[index];
      if (parent === undefined) continue;
      const fd = held.get(parent) ?? parent.acquire();
      held.set(parent, fd);
      dirFds[index] = fd;
    }
  } catch (error) {
    release();
    throw error;
  }
  return { dirFds, release };
}
