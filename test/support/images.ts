// Loop images for tests: a Lab owns a folder in memory, its image files, loop devices and mounts, and gives all of them back
// in close(), in reverse order, whatever the test did. Use it through withLab().

import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { must, type RunResult, run } from "./run.ts";

const MiB = 1024 * 1024;
/** Memory where there is enough of it (containers often give 64 MiB), else the disk. */
const labFolder = hasRoom("/dev/shm") ? "/dev/shm" : tmpdir();
const labPrefix = join(labFolder, "tsfsa-test-");

function hasRoom(folder: string): boolean {
  if (!existsSync(folder)) return false;
  const { bsize, bavail } = statfsSync(folder);
  return bsize * bavail > 2048 * MiB;
}

export interface MountOptions {
  readonly options?: string;
  readonly type?: string;
}

/** Kinds of file systems that the end-to-end tests go through. */
export interface FilesystemRecipe {
  readonly name: string;
  readonly type: "ext2" | "ext3" | "ext4" | "xfs" | "btrfs";
  readonly sizeBytes: number;
  /** Options of mkfs, without device. */
  readonly mkfs: readonly string[];
}

// 320 MiB: mkfs.xfs wants at least 300 MiB. Images are sparse, only what is written costs memory.
export const recipes = {
  ext2: { name: "ext2", type: "ext2", sizeBytes: 192 * MiB, mkfs: ["-L", "plain old", "-m", "3"] },
  ext3: { name: "ext3", type: "ext3", sizeBytes: 192 * MiB, mkfs: ["-L", "third", "-J", "size=8"] },
  ext4: {
    name: "ext4",
    type: "ext4",
    sizeBytes: 256 * MiB,
    // Without project: kernels built without quota (some CI machines) refuse to mount it writable. xfs has project ids anywhere.
    mkfs: ["-b", "4096", "-O", "ea_inode", "-I", "256", "-L", "root fs"],
  },
  ext4SmallBlocks: {
    name: "ext4, 1 KiB blocks",
    type: "ext4",
    sizeBytes: 192 * MiB,
    mkfs: ["-b", "1024", "-i", "8192", "-e", "remount-ro", "-U", "0f1e2d3c-4b5a-4968-8776-655443322110"],
  },
  xfs: { name: "xfs", type: "xfs", sizeBytes: 320 * MiB, mkfs: ["-L", "xfs-data", "-m", "reflink=1,bigtime=1"] },
  btrfs: { name: "btrfs", type: "btrfs", sizeBytes: 320 * MiB, mkfs: ["-L", "butter", "--csum", "xxhash"] },
} as const satisfies Readonly<Record<string, FilesystemRecipe>>;

export class Lab {
  readonly dir: string;
  #devices: string[] = [];
  #mounts: string[] = [];
  #count = 0;

  constructor() {
    this.dir = mkdtempSync(`${labPrefix}${process.pid}-`);
    // Tests as an ordinary user reach their folders through it.
    chmodSync(this.dir, 0o755);
  }

  /** A fresh empty folder of the lab. */
  folder(name = "folder"): string {
    const path = join(this.dir, `${name}-${this.#count++}`);
    mkdirSync(path);
    return path;
  }

  /** A path in the lab where nothing is yet. */
  path(name: string): string {
    return join(this.dir, `${this.#count++}-${name}`);
  }

  /** A sparse image file of `sizeBytes`. */
  image(name: string, sizeBytes: number): string {
    const path = this.path(`${name}.img`);
    writeFileSync(path, "");
    truncateSync(path, sizeBytes);
    return path;
  }

  /** An image with a new file system. */
  async filesystem(recipe: FilesystemRecipe): Promise<string> {
    const image = this.image(recipe.type, recipe.sizeBytes);
    const quiet = recipe.type.startsWith("ext") ? ["-q", "-F"] : ["-q", "-f"];
    await must([`mkfs.${recipe.type}`, ...quiet, ...recipe.mkfs, image]);
    return image;
  }

  /** Attaches a loop device; returns its node. */
  async attach(
    image: string,
    { readOnly = false, sectorBytes = 512 }: { readonly readOnly?: boolean; readonly sectorBytes?: number } = {},
  ): Promise<string> {
    const flags = ["--sector-size", String(sectorBytes), ...(readOnly ? ["--read-only"] : [])];
    const { stdout } = await must(["losetup", "--find", "--show", ...flags, image]);
    const device = stdout.toString().trim();
    this.#devices.push(device);
    return device;
  }

  async detach(device: string): Promise<void> {
    await must(["losetup", "--detach", device]);
    this.#devices = this.#devices.filter((other) => other !== device);
  }

  /** Mounts a device, or an image through a loop device that goes with the mount. noatime unless options say otherwise. */
  async mount(source: string, options: MountOptions = {}): Promise<string> {
    const target = this.folder("mnt");
    const type = options.type === undefined ? [] : ["-t", options.type];
    const words = [
      "noatime",
      ...(source.startsWith("/dev/loop") ? [] : ["loop"]),
      ...(options.options?.split(",") ?? []),
    ];
    await must(["mount", ...type, "-o", words.join(","), source, target]);
    this.#mounts.push(target);
    return target;
  }

  async bind(source: string, options: { readonly readOnly?: boolean } = {}): Promise<string> {
    const target = this.folder("bind");
    await must(["mount", "--bind", source, target]);
    this.#mounts.push(target);
    if (options.readOnly === true) await must(["mount", "-o", "remount,bind,ro", target]);
    return target;
  }

  /** A tmpfs of a given size, to be filled. */
  async tmpfs(sizeBytes: number): Promise<string> {
    const target = this.folder("tmpfs");
    await must(["mount", "-t", "tmpfs", "-o", `size=${sizeBytes}`, "tmpfs", target]);
    this.#mounts.push(target);
    return target;
  }

  /** Unmounts, and waits until the loop device that the mount made has let go of its file: whoever scans devices may hold it a moment longer. */
  async unmount(target: string): Promise<void> {
    const source = mountLines().find((line) => line.target === target)?.source;
    const { status, command, stderr } = await unmounted(target);
    if (status !== 0) throw new Error(`${command}: ${stderr}`);
    this.#mounts = this.#mounts.filter((other) => other !== target);
    if (source === undefined || this.#devices.includes(source)) return;
    const isHeld = (): boolean =>
      attachedLoops().some(({ device, file }) => device === source && file.startsWith(`${this.dir}/`));
    for (let tries = 0; tries < 500 && isHeld(); tries++) await sleep(10);
  }

  /** Unmounts and mounts read-only again, so that maps, times and flags are what is on the disk. */
  async remount(source: string, target: string): Promise<string> {
    await this.unmount(target);
    return this.mount(source, { options: "ro" });
  }

  /** Loop devices and mounts that hold something of this lab and were not made by it: what a product left behind. */
  leftovers(): string[] {
    const found = attachedLoops().filter(({ file }) => file.startsWith(`${this.dir}/`));
    const own = new Set(this.#devices);
    const mounted = new Set(mountLines().map((line) => line.source));
    const loops = found
      .filter(({ device }) => !own.has(device) && !mounted.has(device))
      .map(({ device, file }) => `${device} on ${file}`);
    const ownMounts = new Set(this.#mounts);
    const mounts = mountLines().filter(({ target }) => target.startsWith(`${this.dir}/`) && !ownMounts.has(target));
    return [...loops, ...mounts.map(({ target }) => `mount ${target}`)];
  }

  /** leftovers() of a run that was killed: the kernel takes a loop device apart when the last one lets go of it, whoever that is. */
  async leftoversOfKilled(): Promise<string[]> {
    for (let tries = 0; tries < 100 && this.leftovers().length > 0; tries++) await sleep(50);
    return this.leftovers();
  }

  /** Gives everything back. Throws when something would not go. */
  async close(): Promise<void> {
    const results: RunResult[] = [];
    for (const target of this.#mounts.toReversed()) results.push(await unmounted(target));
    for (const device of this.#devices.toReversed()) results.push(await run(["losetup", "--detach", device]));
    const failures = results
      .filter(({ status }) => status !== 0)
      .map(({ command, stderr }) => `${command}: ${stderr.trim()}`);
    this.#mounts = [];
    this.#devices = [];
    if (failures.length === 0) await removeTree(this.dir);
    if (failures.length > 0) throw new Error(`the lab ${this.dir} could not be closed:\n${failures.join("\n")}`);
  }
}

/** Unmounts. Another test may hold it for a moment: whoever saves with a snapshot looks for orphans on every btrfs there is. */
async function unmounted(target: string): Promise<RunResult> {
  for (let tries = 0; ; tries++) {
    const result = await run(["umount", target]);
    if (result.status === 0 || tries === 100 || !result.stderr.includes("busy")) return result;
    await sleep(50);
  }
}

/** Runs the body with a lab that is closed afterwards, in any case. */
export async function withLab(body: (lab: Lab) => Promise<void>): Promise<void> {
  const lab = new Lab();
  let failed = true;
  try {
    await body(lab);
    failed = false;
  } finally {
    // The body's own failure is the one to show.
    await (failed ? lab.close().catch(() => undefined) : lab.close());
  }
}

/** Removes a tree that may hold immutable files and paths longer than PATH_MAX. */
async function removeTree(dir: string): Promise<void> {
  await run(["chattr", "-R", "-f", "-ia", dir]);
  await run(["rm", "-rf", "--", dir]);
  if (existsSync(dir)) rmSync(dir, { recursive: true, force: true });
}

/** Loop devices in use with their backing files, straight from sysfs. */
export function attachedLoops(): { readonly device: string; readonly file: string }[] {
  const loops: { device: string; file: string }[] = [];
  for (const name of readdirSync("/sys/block")) {
    if (!name.startsWith("loop")) continue;
    const path = `/sys/block/${name}/loop/backing_file`;
    if (!existsSync(path)) continue;
    try {
      loops.push({ device: `/dev/${name}`, file: readFileSync(path, "utf8").trim() });
    } catch {
      // Detached between the two calls.
    }
  }
  return loops;
}

function mountLines(): { readonly source: string; readonly target: string }[] {
  return readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [source = "", target = ""] = line.split(" ");
      return { source, target };
    });
}

/** What earlier runs left: folders of labs whose process is gone. Used by the global set-up. */
export async function sweepLabs(): Promise<string[]> {
  const swept: string[] = [];
  for (const name of readdirSync(labFolder)) {
    const match = /^tsfsa-test-(\d+)-/.exec(name);
    if (match === null || existsSync(`/proc/${match[1]}`)) continue;
    const dir = join(labFolder, name);
    const targets = mountLines().filter(({ target }) => target.startsWith(`${dir}/`));
    for (const { target } of targets.toReversed()) await run(["umount", target]);
    for (const { device, file } of attachedLoops()) {
      if (file.startsWith(`${dir}/`)) await run(["losetup", "--detach", device]);
    }
    await removeTree(dir);
    swept.push(dir);
  }
  return swept;
}
