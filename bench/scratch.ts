// A work folder and the mounts in it. Everything made through it is undone by release(), last first,
// so callers hold one Scratch and release it in `finally`.

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { installed, run } from "./process.ts";

export interface MakeFilesystem {
  readonly sizeBytes: number;
  /** Further words for mkfs.ext4. */
  readonly mkfsOptions?: readonly string[];
}

export class Scratch {
  readonly path: string;
  readonly #keep: boolean;
  readonly #mounts: string[] = [];

  private constructor(path: string, keep: boolean) {
    this.path = path;
    this.#keep = keep;
  }

  /** A new folder of its own, in memory where there is a tmpfs. */
  static temporary(prefix: string): Scratch {
    const parent = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
    return new Scratch(mkdtempSync(join(parent, prefix)), false);
  }

  /** A named folder. What an earlier, killed run left mounted in it is unmounted first; `keep` leaves the files for the next run. */
  static async named(path: string, keep: boolean): Promise<Scratch> {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const left = readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .map((line) => line.split(" ")[4] ?? "")
      .filter((mountPoint) => mountPoint.startsWith(`${path}/`));
    for (const mountPoint of left.toReversed()) await run(["umount", mountPoint]);
    return new Scratch(path, keep);
  }

  join(...names: readonly string[]): string {
    return join(this.path, ...names);
  }

  /** Makes an ext4 file system in a sparse image file. Inode tables are written at once: no kernel thread does it later, during a measurement. */
  async makeImage(name: string, filesystem: MakeFilesystem, signal?: AbortSignal): Promise<string> {
    const image = this.join(name);
    rmSync(image, { force: true });
    writeFileSync(image, "", { mode: 0o600 });
    truncateSync(image, filesystem.sizeBytes);
    const options = ["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", ...(filesystem.mkfsOptions ?? [])];
    await run(["mkfs.ext4", ...options, image], signal === undefined ? {} : { signal });
    return image;
  }

  /** Mounts an image below the work folder and gives the mount point. */
  async mount(image: string, name: string, readOnly: boolean): Promise<string> {
    const mountPoint = this.join(name);
    mkdirSync(mountPoint, { recursive: true });
    await run(["mount", "-o", `loop,noatime,${readOnly ? "ro" : "rw"}`, image, mountPoint]);
    this.#mounts.push(mountPoint);
    return mountPoint;
  }

  async unmount(mountPoint: string): Promise<void> {
    await run(["umount", mountPoint]);
    this.#mounts.splice(this.#mounts.indexOf(mountPoint), 1);
  }

  /** Removes everything in the folder. */
  clear(): void {
    if (this.#mounts.length > 0) throw new Error(`${this.#mounts.join(", ")}: still mounted`);
    for (const name of readdirSync(this.path)) rmSync(this.join(name), { recursive: true, force: true });
  }

  /** Unmounts what is still mounted and removes the folder. Never removes anything while a mount is left below it. */
  async release(): Promise<void> {
    for (const mountPoint of this.#mounts.toReversed()) await this.unmount(mountPoint);
    if (!this.#keep) rmSync(this.path, { recursive: true, force: true });
  }
}

/** Whether loop devices can be mounted here: tried, because containers differ. */
export async function canMountImages(): Promise<boolean> {
  if (process.getuid?.() !== 0 || !installed("mkfs.ext4") || !installed("mount")) return false;
  const scratch = Scratch.temporary("tsfsa-probe-");
  try {
    const image = await scratch.makeImage("probe.img", { sizeBytes: 8 * 1024 * 1024 });
    await scratch.mount(image, "mnt", false);
    return true;
  } catch {
    return false;
  } finally {
    await scratch.release();
  }
}
