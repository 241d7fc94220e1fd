// The judges of a restore: independent tools that compare a source tree with a restored one. Each sees losses that others miss:
// rsync misses flags and holes, mtree misses attributes, tar misses linked fifos. Birth times are not compared (nothing sets them).

import { judgeAcls, judgeAttributes, judgeFlags } from "./judges/attributes.ts";
import { type Aspect, type Dump, type Judge, diffDumps } from "./judges/dump.ts";
import { judgeHoles, judgeSparseContent, judgeUnwritten } from "./judges/extents.ts";
import { judgeMtree } from "./judges/mtree.ts";
import { judgeRsync } from "./judges/rsync.ts";
import { hardLinkGroups, judgeStat, judgeSymlinks } from "./judges/stat.ts";
import { type Walk, type WalkedEntry, walk } from "./walk.ts";

export type { Aspect } from "./judges/dump.ts";

export interface SameTreeOptions {
  /** What the way under test cannot carry, with the reason beside the call. */
  readonly ignore?: readonly Aspect[];
  /** Entries of both trees that are left out. Paths are latin1 text from the root, without `./`. */
  readonly skip?: (path: string, entry: WalkedEntry) => boolean;
}

/** Each judge with the aspects that make it pointless when they are left out. */
const judges: readonly [name: string, judge: Judge, pointlessWithout: readonly Aspect[]][] = [
  ["stat", judgeStat, []],
  ["readlink", judgeSymlinks, []],
  ["mtree", judgeMtree, []],
  ["getfattr", judgeAttributes, ["xattrs"]],
  ["getfacl", judgeAcls, ["acls"]],
  ["lsattr", judgeFlags, ["flags", "project"]],
  ["holes", judgeHoles, ["holes"]],
  ["unwritten", judgeUnwritten, ["unwritten"]],
  ["sparse content", judgeSparseContent, ["content"]],
];

/** All differences the judges find between a source tree and a restored tree; empty when they agree. */
export async function compareTrees(source: string, restored: string, options: SameTreeOptions = {}): Promise<string[]> {
  const ignore = new Set(options.ignore ?? []);
  const left = walk(source);
  const right = walk(restored);
  try {
    const kept = (entry: WalkedEntry): boolean => options.skip?.(entry.path, entry) !== true;
    const differences = diffDumps("names", namesOf(left, kept), namesOf(right, kept));
    if (!ignore.has("hardlinks")) {
      differences.push(
        ...diffDumps(
          "hard links",
          hardLinkGroups(left.entries.filter(kept)),
          hardLinkGroups(right.entries.filter(kept)),
        ),
      );
    }
    for (const [name, judge, pointlessWithout] of judges) {
      if (pointlessWithout.length > 0 && pointlessWithout.every((aspect) => ignore.has(aspect))) continue;
      const dumps = await Promise.all([left, right].map((tree) => dumpTree(tree, judge, kept, ignore)));
      differences.push(...diffDumps(name, dumps[0] ?? new Map(), dumps[1] ?? new Map()));
    }
    for (const chunk of left.chunks) {
      const twin = right.chunks.find((other) => other.path === chunk.path);
      if (twin !== undefined) differences.push(...(await judgeRsync(chunk, chunk.entries.filter(kept), twin, ignore)));
    }
    return differences;
  } finally {
    left.close();
    right.close();
  }
}

/** Throws with the first differences when the judges do not agree that both trees are the same. */
export async function expectSameTree(source: string, restored: string, options: SameTreeOptions = {}): Promise<void> {
  const differences = await compareTrees(source, restored, options);
  if (differences.length > 0) {
    throw new Error(
      `${differences.length} differences between ${source} and ${restored}:\n${differences.slice(0, 40).join("\n")}`,
    );
  }
}

async function dumpTree(
  tree: Walk,
  judge: Judge,
  kept: (entry: WalkedEntry) => boolean,
  ignore: ReadonlySet<Aspect>,
): Promise<Dump> {
  const dump: Dump = new Map();
  for (const chunk of tree.chunks) {
    const part = await judge({ chunk, entries: chunk.entries.filter(kept), ignore });
    for (const [path, line] of part) dump.set(path, line);
  }
  return dump;
}

function namesOf(tree: Walk, kept: (entry: WalkedEntry) => boolean): Dump {
  return new Map(tree.entries.filter(kept).map((entry) => [entry.path, "there"]));
}
