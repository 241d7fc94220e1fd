// Folders for the tests of saving, each a tmpfs of its own: there user attributes are large, times and sizes have no limit, and any tree is gone at
// once. Needs root.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readlinkSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Runs the body with a new empty folder; fails when a descriptor below it is still open afterwards. `options`: of the mount. */
export async function inFolder(body: (folder: string) => Promise<void>, options = "noatime"): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "tsfsa-save-"));
  let left: string[] = [];
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=2g,${options}`, "tsfsa-test", folder]);
  try {
    await body(folder);
    left = openBelow(folder);
  } finally {
    execFileSync("umount", ["--lazy", folder]);
    rmdirSync(folder);
  }
  if (left.length > 0) throw new Error(`still open: ${left.join(", ")}`);
}

function openBelow(folder: string): string[] {
  const links: string[] = [];
  for (const fd of readdirSync("/proc/self/fd")) {
    try {
      links.push(readlinkSync(`/proc/self/fd/${fd}`));
    } catch {
      // The descriptor that read the list.
    }
  }
  return links.filter((link) => link === folder || link.startsWith(`${folder}/`));
}
