// Judges of file systems as such: identity and geometry as the distribution's tools print them, and their checkers. All read
// unmounted images or devices.

import { run } from "../run.ts";
import { type Dump, diffDumps } from "./dump.ts";

export type FilesystemType = "ext2" | "ext3" | "ext4" | "xfs" | "btrfs";

/** Lines that change with every mount or with what the file system holds, not with how it was made. */
const volatileExt = [
  "Last mounted on",
  "Filesystem created",
  "Last mount time",
  "Last write time",
  "Mount count",
  "Last checked",
  "Next check after",
  "Lifetime writes",
  "Free blocks",
  "Free inodes",
  "Checksum",
  "Journal sequence",
  "Journal start",
  "Journal checksum",
  "Overhead clusters",
  "First orphan inode",
  "MMP sequence",
];

const volatileXfs = [
  "icount",
  "ifree",
  "fdblocks",
  "frextents",
  "crc",
  "lsn",
  "rootino",
  "rbmino",
  "rsumino",
  "uquotino",
  "gquotino",
  "pquotino",
  "qflags",
  "meta_uuid",
];

const keptBtrfs = [
  "csum_type",
  "csum_size",
  "label",
  "fsid",
  "incompat_flags",
  "compat_ro_flags",
  "sectorsize",
  "nodesize",
  "stripesize",
  "total_bytes",
  "num_devices",
];

/** What blkid and the type's own tool say of an image, as one line per field. */
export async function describeFilesystem(image: string, type: FilesystemType): Promise<Dump> {
  const dump: Dump = new Map();
  const add = (prefix: string, text: string, separator: RegExp, keep: (key: string) => boolean): void => {
    for (const line of text.split("\n")) {
      const match = separator.exec(line);
      if (match === null) continue;
      const key = line.slice(0, match.index).trim();
      if (key !== "" && keep(key)) dump.set(`${prefix}: ${key}`, line.slice(match.index + match[0].length).trim());
    }
  };
  const blkid = await output(["blkid", "-p", "-o", "export", image]);
  add("blkid", blkid, /=/, (key) => key !== "DEVNAME" && key !== "UUID_SUB" && key !== "FSLASTBLOCK");
  if (type === "xfs") {
    add(
      "xfs_db",
      await output(["xfs_db", "-r", "-c", "sb 0", "-c", "p", image]),
      / = /,
      (key) => !volatileXfs.includes(key),
    );
    dump.set("xfs_info", (await output(["xfs_info", image])).replaceAll(image, "IMAGE"));
  } else if (type === "btrfs") {
    const text = await output(["btrfs", "inspect-internal", "dump-super", image]);
    add("dump-super", text, /\t+/, (key) => keptBtrfs.includes(key));
  } else {
    // The kernel sets journal_incompat_revoke with the first revoke it writes.
    const text = (await output(["dumpe2fs", "-h", image])).replace(
      /(Journal features:.*?)journal_incompat_revoke *(\S|$)/m,
      (_, before: string, next: string) => `${before}${next === "" ? "(none)" : next}`,
    );
    add("dumpe2fs", text, /:/, (key) => !volatileExt.includes(key));
  }
  return dump;
}

/** Differences between two images as file systems. `except` drops fields by name (`dumpe2fs: Filesystem UUID`). */
export async function compareFilesystems(
  source: string,
  restored: string,
  type: FilesystemType,
  except: readonly string[] = [],
): Promise<string[]> {
  const dumps = [await describeFilesystem(source, type), await describeFilesystem(restored, type)];
  for (const dump of dumps) for (const key of except) dump.delete(key);
  return diffDumps("file system", dumps[0] ?? new Map(), dumps[1] ?? new Map());
}

export async function expectSameFilesystem(
  source: string,
  restored: string,
  type: FilesystemType,
  except: readonly string[] = [],
): Promise<void> {
  const differences = await compareFilesystems(source, restored, type, except);
  if (differences.length > 0) throw new Error(`the restored ${type} differs:\n${differences.join("\n")}`);
}

/** Runs the type's checker without repair; throws with what it said when it is not content. */
export async function expectClean(image: string, type: FilesystemType): Promise<void> {
  const checkers: Readonly<Record<FilesystemType, readonly string[]>> = {
    ext2: ["e2fsck", "-fn", image],
    ext3: ["e2fsck", "-fn", image],
    ext4: ["e2fsck", "-fn", image],
    xfs: ["xfs_repair", "-n", image],
    btrfs: ["btrfs", "check", "--readonly", image],
  };
  const result = await run(checkers[type]);
  if (result.status !== 0)
    throw new Error(`${result.command}: status ${result.status}\n${result.stdout.toString()}${result.stderr}`);
}

async function output(argv: readonly string[]): Promise<string> {
  const result = await run(argv);
  if (result.status !== 0) throw new Error(`${result.command}: status ${result.status}\n${result.stderr}`);
  return result.stdout.toString("latin1");
}
