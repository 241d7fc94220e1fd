// Provider btrfs: a read-only snapshot of the mounted subvolume, with a snapshot of each subvolume nested in it at its place, so that the
// whole is one tree again. They lie in the top-level subvolume, which is mounted detached; the kernel gives no common instant to several.

import { constants, openSync } from "node:fs";
import { TsfsaError } from "../base/errors.ts";
import { mountDetached, usedBytesOf } from "../filesystem/attach.ts";
import { type Cleanup, openWith } from "../filesystem/cleanup.ts";
import { describeFilesystem } from "../filesystem/describe.ts";
import { checkSource } from "../filesystem/source-check.ts";
import { openReader, readOnlyMount } from "../filesystem/source-mount.ts";
import type { OpenSource } from "../filesystem/types.ts";
import { statSource } from "../filesystem/writable.ts";
import { addon } from "../sys/addon.ts";
import { AT_REMOVEDIR } from "../sys/constants.ts";
import { check } from "../sys/errors.ts";
import { statDescriptor } from "../sys/stat.ts";
import { below, listSubvolumes, removeSubvolumes, type Subvolume, subvolumeRoot, toolTop } from "./btrfs-list.ts";
import { keptName, snapshotName } from "./owner.ts";
import type { Detection, Health, Provider, Snapshot, SnapshotRun } from "./provider.ts";
import { call, isInstalled } from "./tools.ts";
import type { Volume } from "./volume.ts";

export const btrfs: Provider = { method: "btrfs", detect };

async function detect(volume: Volume, run: SnapshotRun): Promise<Detection> {
  if (statSource(volume.mountPoint).ino !== subvolumeRoot)
    return { fits: false, reason: `${volume.mountPoint} shows a directory, not a subvolume` };
  if (!(await isInstalled(run.run, "btrfs", "--version")))
    return { fits: false, reason: "btrfs-progs is not installed" };
  return {
    fits: true,
    reason: "read-only snapshots of the subvolume and of those nested in it",
    commands: [
      `btrfs subvolume snapshot ${volume.mountPoint} NAME`,
      "btrfs property set -ts NAME ro true",
      "btrfs subvolume delete NAME",
    ],
    begin: (cleanup, serial) => new BtrfsSnapshot(volume, run, cleanup, serial),
  };
}

/** A readable descriptor of the top-level subvolume (id 5) of a mounted btrfs, on a detached writable mount. */
export function openTopLevel(cleanup: Cleanup, device: string): number {
  return mountDetached(cleanup, { type: "btrfs", source: device, options: ["subvolid=5"], attributes: 0 });
}

class BtrfsSnapshot implements Snapshot {
  readonly method = "btrfs";
  readonly needsHold = false;
  readonly sharesInstant = false;
  readonly volume: Volume;
  readonly #run: SnapshotRun;
  readonly #cleanup: Cleanup;
  /** In the top-level subvolume. */
  #name: string;
  #topFd = -1;
  #nested: readonly Subvolume[] = [];
  #baseline = "";
  #kept = false;

  constructor(volume: Volume, run: SnapshotRun, cleanup: Cleanup, serial: number) {
    this.volume = volume;
    this.#run = run;
    this.#cleanup = cleanup;
    this.#name = snapshotName("", run.owner, serial);
  }

  async prepare(): Promise<void> {
    this.#topFd = openTopLevel(this.#cleanup, this.volume.devicePath);
    const all = await listSubvolumes(this.#run.run, this.#topFd);
    // Our own snapshots, of this run and of others, are none of the source.
    this.#nested = below(all, this.#origin).filter(({ path }) => path !== this.#origin && !path.startsWith(".tsfsa-"));
  }

  async create(): Promise<void> {
    this.#cleanup.defer(async () => {
      if (!this.#kept) await removeSubvolumes(this.#run.run, this.#topFd, this.#name);
    });
    // Writable at first: where a nested subvolume stood there is an empty directory, which makes room for its snapshot.
    await this.#btrfs("subvolume", "snapshot", `${toolTop}/${this.#origin}`, `${toolTop}/${this.#name}`);
    for (const subvolume of this.#nested) await this.#createNested(subvolume);
    await this.#btrfs("property", "set", "-ts", `${toolTop}/${this.#name}`, "ro", "true");
    this.#baseline = await this.#generations();
  }

  open(): Promise<OpenSource> {
    const { path, devicePath, mount } = this.volume;
    return openWith(async (cleanup) => {
      const reader = openReader(cleanup, devicePath, constants.O_RDONLY);
      const { warnings } = await checkSource(reader, path, mount);
      const options = [`subvol=/${this.#name}`];
      const rootFd = mountDetached(cleanup, { type: "btrfs", source: devicePath, options, attributes: readOnlyMount });
      const description = await describeFilesystem(reader, { type: "btrfs", usedBytes: usedBytesOf(rootFd) });
      if (description === undefined)
        throw new TsfsaError("SOURCE_UNREADABLE", `the superblock of ${path} changed while it was opened`, { path });
      return {
        rootFd,
        description,
        origin: `${devicePath} on ${path}`,
        device: devicePath,
        frozen: true,
        warnings,
        checkFrozen: () => ({ writable: false }),
        close: () => cleanup.run(),
      };
    });
  }

  /** A subvolume that was written to has another generation, and one whose protection was taken off is not read-only. */
  async health(last: boolean): Promise<Health> {
    if (!last) return { valid: true };
    const protection = await this.#btrfs("property", "get", "-ts", `${toolTop}/${this.#name}`, "ro");
    if (protection.trim() !== "ro=true") return { valid: false, reason: "the snapshot was made writable" };
    if ((await this.#generations()) === this.#baseline) return { valid: true };
    return { valid: false, reason: "somebody wrote into the snapshot or removed a part of it" };
  }

  frozenMs(): number | undefined {
    return undefined;
  }

  async keep(): Promise<readonly string[]> {
    const taken = new Set((await listSubvolumes(this.#run.run, this.#topFd)).map(({ path }) => path));
    const name = keptName("", (each) => taken.has(each));
    const [from, to] = [Buffer.from(this.#name), Buffer.from(name)];
    check(addon().renameAt(this.#topFd, from, this.#topFd, to, 1), "rename", name);
    this.#name = name;
    this.#kept = true;
    return [
      `kept the snapshot ${name} in the top-level subvolume of ${this.volume.devicePath}: mount -o ro,subvol=/${name} ${this.volume.devicePath} /MOUNTPOINT`,
      `remove it with tsfsa snapshot remove ${name}`,
    ];
  }

  /** Path of the source from the top-level subvolume; empty: that one itself. */
  get #origin(): string {
    return this.volume.mount.root.toString().slice(1);
  }

  /** Keeps whether it is read-only, and the times of the directory that it stands in. */
  async #createNested({ path }: Subvolume): Promise<void> {
    const inner = this.#origin === "" ? path : path.slice(this.#origin.length + 1);
    const place = `${this.#name}/${inner}`;
    const parent = openSync(
      `/proc/self/fd/${this.#topFd}/${place.slice(0, place.lastIndexOf("/"))}`,
      constants.O_RDONLY | constants.O_DIRECTORY,
    );
    try {
      const name = Buffer.from(place.slice(place.lastIndexOf("/") + 1));
      const { atime, mtime } = statDescriptor(parent);
      const isReadOnly = (await this.#btrfs("property", "get", "-ts", `${toolTop}/${path}`, "ro")).trim() === "ro=true";
      check(addon().unlinkAt(parent, name, AT_REMOVEDIR), "rmdir", name);
      await this.#btrfs(
        "subvolume",
        "snapshot",
        ...(isReadOnly ? ["-r"] : []),
        `${toolTop}/${path}`,
        `${toolTop}/${place}`,
      );
      check(
        addon().utimesAt(parent, new Uint8Array(0), atime.seconds, atime.nanoseconds, mtime.seconds, mtime.nanoseconds),
        "utimensat",
      );
    } finally {
      addon().close(parent);
    }
  }

  async #generations(): Promise<string> {
    const all = await listSubvolumes(this.#run.run, this.#topFd);
    return below(all, this.#name)
      .map(({ id, generation, path }) => `${id} ${generation} ${path}`)
      .join("\n");
  }

  #btrfs(...words: readonly string[]): Promise<string> {
    return call(this.#run.run, "btrfs", words, { fd3: this.#topFd });
  }
}
