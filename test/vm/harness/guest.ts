// What a scenario works with inside the machine: volumes, mounts, loads, the built CLI. All of it is given back in close(), which then expects the
// machine to be as it was: no volume, device-mapper device, loop device or mount more.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { expectStatus } from "../../support/cli.ts";
import { judge } from "../../support/load/judge.ts";
import { Load } from "../../support/load/load.ts";
import { recordOf, type RecordedVolume, StalledSave } from "../../support/load/save.ts";
import type { WriterOptions } from "../../support/load/writer.ts";
import { loadWriter } from "../../support/programs.ts";
import { must, type RunResult, run, shell } from "../../support/run.ts";
import { noise } from "../../support/trees/model.ts";

export type VolumeType = "ext4" | "xfs";

export interface ImageVolume {
  readonly mounted: string;
  readonly type: VolumeType;
}

/** Who judges an image, and options of mounting it beside its original. */
const imageChecks = {
  ext4: { checker: ["e2fsck", "-fn"], options: "ro,loop" },
  xfs: { checker: ["xfs_repair", "-n"], options: "ro,loop,nouuid" },
} as const;

const mkfsWords = { ext4: ["-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"], xfs: ["-f"] } as const;

export class Guest {
  /** What the scenario measured, by name with its unit: printed by the host. */
  readonly figures: Record<string, number | string> = {};
  /** A folder in memory, outside every volume. */
  readonly folder = mkdtempSync("/dev/shm/scenario-");
  readonly #loads: Load[] = [];
  readonly #saves: StalledSave[] = [];
  readonly #mounts: string[] = [];
  readonly #groups: string[] = [];
  readonly #mapped: string[] = [];
  #atFirst: readonly string[] = [];
  #count = 0;

  static async create(): Promise<Guest> {
    const guest = new Guest();
    guest.#atFirst = await guest.state();
    return guest;
  }

  /** A volume group over whole disks. */
  async group(name: string, disks: readonly string[]): Promise<void> {
    this.#groups.push(name);
    await must(["vgcreate", "-y", name, ...disks]);
  }

  /** A device of device-mapper, as /dev/mapper/NAME. */
  async mapped(name: string, table: string): Promise<void> {
    this.#mapped.push(name);
    await must(["dmsetup", "create", name, "--table", table]);
  }

  /** A thick logical volume, as /dev/GROUP/NAME. */
  async volume(group: string, name: string, sizeMiB: number): Promise<string> {
    await must(["lvcreate", "-y", "-n", name, "-L", `${sizeMiB}M`, group]);
    return `/dev/${group}/${name}`;
  }

  /** A new file system on a device, mounted read-write, which nobody but a scenario changes: ext4 would make its inode tables in the background. */
  async filesystem(type: VolumeType, device: string): Promise<string> {
    await must([`mkfs.${type}`, "-q", ...mkfsWords[type], device]);
    return this.mount(device);
  }

  /** Files between the writer's own in the order of names, which do not compress: a save takes its time over them. */
  bulk(mounted: string, sizeBytes: number): void {
    const folder = join(mounted, "m-bulk");
    mkdirSync(folder);
    const each = 64 * 1024;
    const content = noise(each, 1);
    for (let file = 0; file * each < sizeBytes; file += 1) {
      content.writeUInt32LE(file);
      writeFileSync(join(folder, String(file)), content);
    }
  }

  /** A file on the disk. Returns what writes over the next of it: once over each block, and on the disk when it is back. */
  async ballast(mounted: string, sizeMiB: number): Promise<(sizeKiB: number) => Promise<void>> {
    const path = join(mounted, "n-ballast");
    await must(["dd", "if=/dev/zero", `of=${path}`, "bs=1M", `count=${sizeMiB}`, "conv=fsync", "status=none"]);
    let at = 0;
    return async (sizeKiB) => {
      const file = await open(path, "r+");
      await file.write(Buffer.alloc(sizeKiB * 1024, 0x5a), 0, sizeKiB * 1024, at);
      await file.sync();
      await file.close();
      at += sizeKiB * 1024;
    };
  }

  /**
   * A hook that writes over a file between the instant and the first read, as words for savefs. `predictedBytes`: what the store must keep of it, each
   * chunk and 16 bytes on where it was (dm-snap-persistent.c: struct disk_exception).
   */
  async changes(
    mounted: string,
    sizeMiB: number,
  ): Promise<{ readonly words: string[]; readonly predictedBytes: number }> {
    await this.ballast(mounted, sizeMiB);
    const overwrite = `dd if=/dev/zero of=${mounted}/n-ballast bs=1M count=${sizeMiB} conv=notrunc,fsync status=none`;
    const chunks = sizeMiB * 256;
    return { words: ["--hold", `echo ready; cat >/dev/null; ${overwrite}`], predictedBytes: chunks * (4096 + 16) };
  }

  /** The peak that was recorded must be of the size that was predicted; the writer and the file system itself change something, too. */
  expectPeak({ usedBytes = 0, storeBytes = 0 }: RecordedVolume, predictedBytes: number): void {
    this.figures["storePredictedKiB"] = predictedBytes / 1024;
    const range = `${usedBytes} of ${storeBytes} used, ${predictedBytes} predicted`;
    assert.ok(usedBytes >= predictedBytes && usedBytes < 2 * predictedBytes && usedBytes <= storeBytes, range);
  }

  /** `target`: a mount point that was used before. */
  async mount(device: string, options = "noatime", target = this.path("mnt")): Promise<string> {
    mkdirSync(target, { recursive: true });
    await must(["mount", "-o", options, device, target]);
    this.#mounts.push(target);
    return target;
  }

  async unmount(target: string): Promise<void> {
    await must(["umount", target]);
    this.forget(target);
  }

  /** Somebody else unmounted it. */
  forget(target: string): void {
    this.#mounts.splice(this.#mounts.indexOf(target), 1);
  }

  /** A path in memory where nothing is yet. */
  path(name: string): string {
    return join(this.folder, `${this.#count++}-${name}`);
  }

  /** A writer on these mount points, after its first steps. */
  async load(volumes: readonly string[], options: Partial<WriterOptions> = {}, warmUp = 50): Promise<Load> {
    const progress = this.path("progress");
    const load = await Load.start(loadWriter, { volumes, progress, sync: false, pauseMs: 40, ...options }, warmUp);
    this.#loads.push(load);
    return load;
  }

  /** A save that stands still, see StalledSave. */
  stalledSave(volumes: readonly string[], words: readonly string[]): StalledSave {
    const save = new StalledSave(volumes, words);
    this.#saves.push(save);
    return save;
  }

  /** Saves images of volumes that a load changes, and restores them: they must be sound, and of one instant within the save. Returns the archive. */
  async imagesUnderLoad(load: Load, volumes: readonly ImageVolume[], words: readonly string[]): Promise<string> {
    const archive = this.path("images");
    const restored = volumes.map(() => this.path("restored.img"));
    const [before, began] = [load.finished(), Date.now()];
    const saved = await expectStatus(0, [
      "saveimg",
      "--json",
      ...words,
      archive,
      ...volumes.map(({ mounted }) => mounted),
    ]);
    const after = load.finished();
    assert.equal(recordOf(saved.stdout).oneInstant, true);
    await expectStatus(0, ["restimg", "-q", archive, ...restored.map((image, id) => `id=${id},dest=${image}`)]);
    const copies: string[] = [];
    for (const [id, { type }] of volumes.entries()) {
      const image = restored[id] as string;
      await must([...imageChecks[type].checker, image]);
      copies.push(await this.mount(image, imageChecks[type].options));
    }
    const { faults, step } = judge(copies);
    for (const copy of copies) await this.unmount(copy);
    assert.deepEqual(faults, []);
    this.figures["imagesMs"] = Date.now() - began;
    assert.ok(step >= before && step <= after + 1, `step ${step}: not between ${before} and ${after}`);
    return archive;
  }

  /** Copies a tree as it is, in the order of names, as an archiver reads it. */
  async copyInOrder(from: string, to: string): Promise<RunResult> {
    return run([
      "bash",
      "-o",
      "pipefail",
      "-c",
      'tar -C "$1" --sort=name -cf - . | tar -C "$2" -xf -',
      "bash",
      from,
      to,
    ]);
  }

  /** Fails where the machine has something that it had not before, or lacks something. */
  async expectState(before: readonly string[]): Promise<void> {
    await run(["udevadm", "settle"]);
    assert.deepEqual((await this.state()).toSorted(), before.toSorted());
  }

  /** Volumes, tables, loop devices and mounts, a line each. */
  async state(): Promise<string[]> {
    const tools = [
      "lvs -a --noheadings -o lv_full_name,lv_attr,lv_size,lv_tags",
      "dmsetup table",
      "dmsetup info -c --noheadings -o name,suspended",
      "losetup --noheadings -O NAME,BACK-FILE",
      "cat /proc/self/mounts",
    ];
    // In one shell: each process that Node.js makes costs an emulated machine half a second.
    const { stdout } = await shell(tools.join("; "));
    const lines = stdout
      .toString()
      .split("\n")
      .map((line) => line.trim());
    return lines.filter((line) => line !== "" && line !== "No devices found");
  }

  /** Gives all back; what could not be, or was left by others, as words. */
  async close(): Promise<string | undefined> {
    for (const load of this.#loads) await load.stop();
    for (const save of this.#saves) await save.kill();
    for (const target of this.#mounts.toReversed()) await run(["umount", target]);
    for (const name of this.#mapped) await run(["dmsetup", "remove", "--retry", name]);
    for (const group of this.#groups) await run(["vgremove", "-ff", "-y", group]);
    await run(["udevadm", "settle"]);
    const left = (await this.state()).filter((line) => !this.#atFirst.includes(line));
    return left.length === 0 ? undefined : `left behind:\n${left.join("\n")}`;
  }
}

/** Volume data of group vg0 on the first disk, with a file system, mounted. The group keeps room for snapshots. */
export async function dataVolume(
  guest: Guest,
  type: VolumeType,
): Promise<{ readonly device: string; readonly mounted: string }> {
  await guest.group("vg0", ["/dev/vda"]);
  const device = await guest.volume("vg0", "data", type === "xfs" ? 304 : 160);
  return { device, mounted: await guest.filesystem(type, device) };
}

/** Thin volume data of a pool in group vg0 on the first disk, with a file system, mounted. */
export async function thinVolume(
  guest: Guest,
  poolMiB: number,
  sizeMiB: number,
  type: VolumeType = "ext4",
): Promise<string> {
  await guest.group("vg0", ["/dev/vda"]);
  await must(["lvcreate", "-y", "--type", "thin-pool", "-L", `${poolMiB}M`, "-n", "pool", "vg0"]);
  await must(["lvcreate", "-y", "-V", `${sizeMiB}M`, "-n", "data", "--thinpool", "vg0/pool"]);
  return guest.filesystem(type, "/dev/vg0/data");
}
