// Provider dm: a snapshot below a mounted device of device-mapper that LVM does not manage. Its table moves to a device of its own (`-real`); the
// device itself becomes snapshot-origin over it, and `-snap` shows the old state. The store of what changes is a file without a name on another file
// system, behind a loop device that goes with its last user. Afterwards the device gets its own table back.
//
//   before   data: TABLE                     while    data: snapshot-origin ─► data.tsfsa-…-real: TABLE
//                                                     data.tsfsa-…-snap: snapshot of -real, store loopN

import { closeSync, existsSync, openSync, statfsSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { formatSize } from "../base/units.ts";
import type { Cleanup } from "../filesystem/cleanup.ts";
import { openSource } from "../filesystem/open-source.ts";
import type { ToolRunner } from "../filesystem/recreate/tools.ts";
import { addon } from "../sys/addon.ts";
import { O_CREAT, O_EXCL, O_RDWR } from "../sys/constants.ts";
import { check } from "../sys/errors.ts";
import { Guard, type GuardItem } from "../sys/guard.ts";
import { attachLoop } from "../sys/loop.ts";
import { liesOn } from "./devices.ts";
import { openDirectory } from "./directory.ts";
import { keptName, snapshotName } from "./owner.ts";
import type { Detection, Health, Provider, Snapshot, SnapshotRun } from "./provider.ts";
import { type Mapped, mappedWords, parseMapped, parseSnapshotStatus, tableSectors } from "./reports.ts";
import { aboutToOverflow, planStore, type StorePlan } from "./sizing.ts";
import { attempt, call, isInstalled, persist } from "./tools.ts";
import type { Volume } from "./volume.ts";

export const dm: Provider = { method: "dm", detect };

const MiB = 1024 * 1024;
/** Share of the free space of a directory that a store may take. */
const storeShare = 0.8;
/** Of the names of our devices, the user before the used. */
const suffixes = ["-snap", "-real"] as const;
/** Tables that may not be moved: parts of a stack that its own tools manage. */
const foreignTargets =
  /^\d+ \d+ (snapshot|snapshot-origin|snapshot-merge|thin|thin-pool|multipath|raid|mirror|cache|writecache|era)\b/m;

async function detect(volume: Volume, run: SnapshotRun): Promise<Detection> {
  const { mapped } = volume;
  if (mapped === undefined) return { fits: false, reason: `${volume.devicePath} is no device of device-mapper` };
  if (!(await isInstalled(run.run, "dmsetup", "version"))) return { fits: false, reason: "dmsetup is not installed" };
  const table = await call(run.run, "dmsetup", ["table", mapped.name]);
  const foreign = foreignTargets.exec(table)?.[1];
  if (foreign !== undefined)
    return { fits: false, reason: `its table is of target ${foreign}, which has tools of its own` };
  const store = findStore(volume, run);
  if (typeof store === "string") return { fits: false, reason: store };
  const room = store.plan.complete ? "cannot overflow" : "a full store ends the snapshot";
  return {
    fits: true,
    reason: `device-mapper device ${mapped.name}; ${formatSize(store.plan.bytes)} for changes in ${store.directory}: ${room}`,
    commands: [
      `dmsetup create ${mapped.name}-real; dmsetup suspend, load ${mapped.name}: snapshot-origin`,
      `dmsetup create ${mapped.name}-snap: snapshot; dmsetup resume ${mapped.name}`,
      `afterwards: dmsetup suspend, load, resume ${mapped.name}: its own table; dmsetup remove both`,
    ],
    begin: (cleanup, serial) => new DmSnapshot(volume, mapped.name, run, store, cleanup, serial),
  };
}

interface Store {
  readonly directory: string;
  readonly plan: StorePlan;
}

/** A directory for the store, on none of the file systems that are snapshotted: writing to it while they are suspended would never end. */
function findStore(volume: Volume, run: SnapshotRun): Store | string {
  const { store, size, maxBytes } = run.options;
  const candidates =
    store === undefined ? [...run.written.filter((path) => path !== "-").map(folderOf), "/var/tmp", tmpdir()] : [store];
  const reasons: string[] = [];
  for (const directory of new Set(candidates)) {
    if (!existsSync(directory)) {
      reasons.push(`${directory} does not exist`);
    } else if (run.volumes.some(({ device }) => liesOn(directory, device))) {
      reasons.push(`${directory} lies on a file system that is saved`);
    } else {
      const { bavail, bsize } = statfsSync(directory);
      const freeBytes = Math.floor(bavail * bsize * storeShare);
      const room = { originBytes: volume.sizeBytes, freeBytes, unitBytes: MiB };
      const plan = planStore({
        ...room,
        ...(size === undefined ? {} : { size }),
        ...(maxBytes === undefined ? {} : { maxBytes }),
      });
      if (typeof plan !== "string") return { directory, plan };
      reasons.push(`${directory}: ${plan}`);
    }
  }
  return `no place for the store of changes: ${reasons.join("; ")}; name one with --snapshot-store`;
}

function folderOf(path: string): string {
  return existsSync(path) && !path.endsWith("/") ? dirname(path) : path;
}

class DmSnapshot implements Snapshot {
  readonly method = "dm";
  readonly needsHold = true;
  readonly sharesInstant = true;
  readonly volume: Volume;
  readonly #device: string;
  readonly #run: SnapshotRun;
  readonly #store: Store;
  readonly #cleanup: Cleanup;
  /** Common part of the names of our devices. */
  readonly #base: string;
  #hold: GuardItem | undefined;
  #table = "";
  #loop = "";
  #kept = false;

  constructor(volume: Volume, device: string, run: SnapshotRun, store: Store, cleanup: Cleanup, serial: number) {
    this.volume = volume;
    this.#device = device;
    this.#run = run;
    this.#store = store;
    this.#cleanup = cleanup;
    this.#base = snapshotName(device, run.owner, serial);
  }

  get hold(): GuardItem {
    return this.#hold as GuardItem;
  }

  /** All that could fail is done before the device stands still. */
  async prepare(): Promise<void> {
    const fd = openDirectory(this.#cleanup, this.volume.mountPoint);
    this.#hold = { kind: "suspend", fd, name: this.#device, label: this.volume.path };
    this.#loop = this.#makeStore();
    // The table may hold the key of an encrypted device: it goes through standard input, never through arguments.
    this.#table = await call(this.#run.run, "dmsetup", ["table", "--showkeys", this.#device]);
    this.#cleanup.defer(async () => {
      if (!this.#kept) await restoreDevice(this.#run.run, this.#device, this.#base, this.volume.mountPoint);
    });
    await call(this.#run.run, "dmsetup", ["create", `${this.#base}-real`], { input: this.#table });
  }

  async create(heldFd?: number): Promise<void> {
    const held = heldFd === undefined ? {} : { fd3: heldFd };
    const sectors = tableSectors(this.#table);
    const real = `/dev/mapper/${this.#base}-real`;
    const origin = `0 ${sectors} snapshot-origin ${real}\n`;
    await call(this.#run.run, "dmsetup", ["load", this.#device], { input: origin, ...held });
    const snapshot = `0 ${sectors} snapshot ${real} ${this.#loop} P 8\n`;
    await call(this.#run.run, "dmsetup", ["create", `${this.#base}-snap`], { input: snapshot, ...held });
  }

  open(): ReturnType<Snapshot["open"]> {
    return openSource(`/dev/mapper/${this.#base}-snap`, { allowRw: false, replay: true });
  }

  async health(): Promise<Health> {
    const { status, stdout, stderr } = await attempt(this.#run.run, "dmsetup", ["status", `${this.#base}-snap`]);
    if (status !== 0) return { valid: false, reason: `the snapshot is gone: ${stderr.trim()}` };
    const found = parseSnapshotStatus(stdout);
    if (!found.valid) return { valid: false, reason: `the snapshot overflowed or broke: ${found.reason}` };
    const { usedBytes, storeBytes } = found;
    if (!aboutToOverflow({ usedBytes, storeBytes, originBytes: this.volume.sizeBytes }))
      return { valid: true, usedBytes, storeBytes };
    return {
      valid: true,
      reason: `its store is full to ${formatSize(usedBytes)} of ${formatSize(storeBytes)}`,
      usedBytes,
      storeBytes,
    };
  }

  frozenMs(): number | undefined {
    return undefined;
  }

  async keep(): Promise<readonly string[]> {
    const names = await mappedDevices(this.#run.run);
    const kept = keptName(this.#device, (name) => names.has(`${name}-real`) || names.has(`${name}-snap`));
    const rename = (from: string, to: string): readonly string[] => ["rename", from, to];
    try {
      for (const suffix of suffixes)
        await call(this.#run.run, "dmsetup", rename(`${this.#base}${suffix}`, `${kept}${suffix}`));
    } catch (error) {
      // Under its old names it is found and given back.
      for (const suffix of suffixes)
        await attempt(this.#run.run, "dmsetup", rename(`${kept}${suffix}`, `${this.#base}${suffix}`));
      throw error;
    }
    this.#kept = true;
    return [
      `kept the snapshot ${kept}: save it with tsfsa savefs ARCHIVE /dev/mapper/${kept}-snap; it is lost at the next boot`,
      `go back to it with tsfsa snapshot merge ${kept}, or remove it with tsfsa snapshot remove ${kept}`,
    ];
  }

  /** Allocated in full: a store whose own file system runs full invalidates the snapshot. */
  #makeStore(): string {
    const { directory, plan } = this.#store;
    // Without O_TMPFILE, which not every file system has.
    const path = join(directory, `.${this.#base}`);
    const fd = openSync(path, O_RDWR | O_CREAT | O_EXCL, 0o600);
    try {
      unlinkSync(path);
      check(addon().allocate(fd, 0, 0, plan.bytes), "allocating the store of changes", directory);
      const loop = attachLoop(fd, { readOnly: false, name: Buffer.from(this.#base.slice(-63)) });
      // Once device-mapper uses it, it lives as long as that.
      this.#cleanup.defer(() => loop.close());
      return loop.path;
    } finally {
      closeSync(fd);
    }
  }
}

/**
 * Gives a device its own table back and removes what was put below and beside it, as far as that was made. Writers wait for the moment of the
 * change; a guard ends the wait if this process dies in it. mountPoint: to write out beforehand.
 */
export async function restoreDevice(run: ToolRunner, device: string, base: string, mountPoint?: string): Promise<void> {
  const made = await mappedDevices(run);
  const real = made.get(`${base}-real`);
  if (real === undefined) return;
  const own = await persist(run, "dmsetup", ["table", "--showkeys", real.name]);
  if (made.has(device)) {
    // A table that was loaded and never became active holds `-real`, too. Where a guard was killed the device may be suspended.
    await persist(run, "dmsetup", ["clear", device]);
    await persist(run, "dmsetup", ["resume", device]);
  }
  if (real.users.includes(device)) {
    await persist(run, "dmsetup", ["load", device], { input: own });
    const fd = mountPoint === undefined ? -1 : openSync(mountPoint, 0);
    try {
      const guard = await Guard.hold([{ kind: "suspend", fd, name: device, label: device }], restoreMaxMs);
      await guard.release(true);
    } finally {
      if (fd >= 0) closeSync(fd);
    }
  }
  // While a table is over them they cannot be removed.
  for (const name of suffixes.map((suffix) => `${base}${suffix}`)) {
    const isDone = async (): Promise<boolean> => !(await mappedDevices(run)).has(name);
    if (made.has(name)) await persist(run, "dmsetup", ["remove", name], { isDone });
  }
}

async function mappedDevices(run: ToolRunner): Promise<ReadonlyMap<string, Mapped>> {
  return new Map(parseMapped(await persist(run, "dmsetup", mappedWords)).map((each) => [each.name, each]));
}

/** No longer than this does a device wait for its table, which is loaded before. */
const restoreMaxMs = 30_000;
