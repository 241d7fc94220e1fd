// The mount tables of every mount namespace that can be seen (proc_pid_mountinfo(5)). Paths are bytes. A mount's superblock
// options say whether the file system can be written; the mount's own options only say whether it can through this mount.

import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { latin1 } from "../base/bytes.ts";

export interface Mount {
  readonly id: number;
  readonly major: number;
  readonly minor: number;
  /** What of the file system the mount shows: `/`, a directory (bind mount) or a btrfs subvolume. */
  readonly root: Buffer;
  readonly mountPoint: Buffer;
  readonly type: string;
  readonly source: Buffer;
  /** The superblock is read-write: somebody can change the file system, through this or another mount. */
  readonly superblockWritable: boolean;
  /** A process that sees it; 0: this one. */
  readonly pid: number;
}

/** Parses one mountinfo file; lines that are not understood are left out. */
export function parseMountInfo(content: Uint8Array, pid: number): Mount[] {
  const text = latin1(content);
  return text.split("\n").flatMap((line) => {
    // ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS [TAG...] - TYPE SOURCE SUPEROPTIONS; a blank in a field is escaped.
    const fields = line.split(" ");
    const separator = fields.indexOf("-", 6);
    const [major, minor] = (fields[2] ?? "").split(":").map(Number);
    if (separator < 0 || major === undefined || minor === undefined) return [];
    return [
      {
        id: Number(fields[0]),
        major,
        minor,
        root: unescapeOctal(fields[3] ?? ""),
        mountPoint: unescapeOctal(fields[4] ?? ""),
        type: fields[separator + 1] ?? "",
        source: unescapeOctal(fields[separator + 2] ?? ""),
        superblockWritable: (fields[separator + 3] ?? "").split(",").includes("rw"),
        pid,
      },
    ];
  });
}

/** Mounts of this process's namespace. */
export function ownMounts(): Mount[] {
  return parseMountInfo(readFileSync("/proc/self/mountinfo"), 0);
}

/**
 * Mounts of all namespaces, this one first. A table shows what lies below its process's root, so each pair of namespace and root is read once.
 * Processes that end meanwhile or may not be looked at are passed over: what nobody can see is found by O_EXCL.
 */
export function allMounts(): Mount[] {
  const seen = new Set([viewOf("self")]);
  const mounts = ownMounts();
  for (const pid of readdirSync("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      const view = viewOf(pid);
      if (seen.has(view)) continue;
      seen.add(view);
      mounts.push(...parseMountInfo(readFileSync(`/proc/${pid}/mountinfo`), Number(pid)));
    } catch {
      // gone, or not ours to see
    }
  }
  return mounts;
}

function viewOf(pid: string): string {
  return `${readlinkSync(`/proc/${pid}/ns/mnt`)} ${readlinkSync(`/proc/${pid}/root`)}`;
}

/** Undoes the kernel's mangle_path: backslash and three octal digits stand for a byte. Text is one character per byte. */
export function unescapeOctal(text: string): Buffer {
  const plain = text.replace(/\\([0-3][0-7]{2})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
  return Buffer.from(plain, "latin1");
}

/** `/mnt/data`, or `/mnt/data (seen by process 123)` for another namespace's mount. */
export function mountText(mount: Mount): string {
  const point = mount.mountPoint.toString();
  return mount.pid === 0 ? point : `${point} (in the mount namespace of process ${mount.pid})`;
}
