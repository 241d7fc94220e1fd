// Provider lvm: a thick (copy-on-write) snapshot of a logical volume. lvcreate itself freezes the file system that is mounted from the origin, so
// it is not frozen before. The store is sized so that it cannot overflow where the volume group has room; else it is watched and grown.

import type { Cleanup } from "../filesystem/cleanup.ts";
import { openSource } from "../filesystem/open-source.ts";
import { keepLogical, logicalVolumeOf, ownerTag, removeLogical, timeSuspended, volumes } from "./lvm-volume.ts";
import { snapshotName } from "./owner.ts";
import type { Detection, Health, Provider, Snapshot, SnapshotRun } from "./provider.ts";
import { type LogicalVolume, mapperName, parseSnapshotStatus } from "./reports.ts";
import { aboutToOverflow, growth, planStore, type StorePlan } from "./sizing.ts";
import { attempt, call } from "./tools.ts";
import type { Volume } from "./volume.ts";
import { formatSize } from "../base/units.ts";

export const lvm: Provider = { method: "lvm", detect };

async function detect(volume: Volume, run: SnapshotRun): Promise<Detection> {
  const origin = await logicalVolumeOf(volume, run.run);
  if (typeof origin === "string") return { fits: false, reason: origin };
  if (/^[sS]/.test(origin.attributes))
    return { fits: false, reason: `${origin.group}/${origin.name} is itself a snapshot` };
  if (/^[mMO]/.test(origin.attributes))
    return { fits: false, reason: `${origin.group}/${origin.name} is merging or mirrored` };
  const { size, maxBytes } = run.options;
  const plan = planStore({
    originBytes: origin.sizeBytes,
    freeBytes: origin.groupFreeBytes,
    unitBytes: origin.extentBytes,
    ...(size === undefined ? {} : { size }),
    ...(maxBytes === undefined ? {} : { maxBytes }),
  });
  if (plan === undefined) {
    return {
      fits: false,
      reason: `the volume group ${origin.group} has no room for it: ${formatSize(origin.groupFreeBytes)} free`,
    };
  }
  const room = plan.complete ? "cannot overflow" : `${formatSize(plan.bytes)} for changes, grown while there is room`;
  return {
    fits: true,
    reason: `logical volume ${origin.group}/${origin.name}; ${room}`,
    commands: [`lvcreate ${createWords(origin, "NAME", plan, "TAG").join(" ")}`, `lvremove -y ${origin.group}/NAME`],
    begin: (cleanup, serial) => new LvmSnapshot(volume, run, origin, plan, cleanup, serial),
  };
}

/** `--monitor n`: dmeventd would unmount a full snapshot by force, and whoever reads by path would then read what lies below. */
export function createWords(origin: LogicalVolume, name: string, { bytes }: StorePlan, tag: string): string[] {
  const full = `${origin.group}/${origin.name}`;
  return ["-y", "-s", "-n", name, "-L", `${bytes}b`, "--monitor", "n", "--addtag", tag, full];
}

class LvmSnapshot implements Snapshot {
  readonly method = "lvm";
  readonly needsHold = false;
  readonly sharesInstant = true;
  readonly volume: Volume;
  readonly hold: NonNullable<Snapshot["hold"]>;
  readonly #run: SnapshotRun;
  readonly #origin: LogicalVolume;
  readonly #plan: StorePlan;
  readonly #cleanup: Cleanup;
  readonly #name: string;
  #kept = false;
  #frozenMs: number | undefined;
  #last: { readonly usedBytes: number; readonly atMs: number } | undefined;

  constructor(
    volume: Volume,
    run: SnapshotRun,
    origin: LogicalVolume,
    plan: StorePlan,
    cleanup: Cleanup,
    serial: number,
  ) {
    this.volume = volume;
    this.hold = { kind: "suspend", fd: -1, name: mapperName(origin.group, origin.name), label: volume.path };
    this.#run = run;
    this.#origin = origin;
    this.#plan = plan;
    this.#cleanup = cleanup;
    this.#name = snapshotName(origin.name, run.owner, serial);
  }

  async prepare(): Promise<void> {}

  async create(heldFd?: number): Promise<void> {
    const { group, name: origin } = this.#origin;
    this.#cleanup.defer(async () => {
      if (!this.#kept) await removeLogical(this.#run.run, group, this.#name, origin);
    });
    // Reading a device that another snapshot of this run holds suspended, to look for LVM on it, would wait for the hold to end.
    const scan = heldFd === undefined ? [] : ["--config", "devices/ignore_suspended_devices=1"];
    const words = [...scan, ...createWords(this.#origin, this.#name, this.#plan, ownerTag(this.#run.owner))];
    const create = async (): Promise<void> => {
      await call(this.#run.run, "lvcreate", words, heldFd === undefined ? {} : { input: heldFd });
    };
    if (heldFd !== undefined) await create();
    else this.#frozenMs = await timeSuspended(this.volume, create);
  }

  open(): ReturnType<Snapshot["open"]> {
    return openSource(`/dev/mapper/${this.#mapper}`, { allowRw: false, replay: true });
  }

  async health(): Promise<Health> {
    const { status, stdout, stderr } = await attempt(this.#run.run, "dmsetup", ["status", this.#mapper]);
    if (status !== 0) return { valid: false, reason: `the snapshot is gone: ${stderr.trim()}` };
    const found = parseSnapshotStatus(stdout);
    if (!found.valid) return { valid: false, reason: `the snapshot overflowed or broke: ${found.reason}` };
    const { usedBytes, storeBytes } = found;
    const isShort = !this.#plan.complete && !(await this.#grow(usedBytes, storeBytes));
    if (!isShort) return { valid: true, usedBytes, storeBytes };
    const reason = `its store is full to ${formatSize(usedBytes)} of ${formatSize(storeBytes)} and cannot grow`;
    return { valid: true, reason, usedBytes, storeBytes };
  }

  frozenMs(): number | undefined {
    return this.#frozenMs;
  }

  async keep(): Promise<readonly string[]> {
    const sentences = await keepLogical(this.#run.run, `${this.#origin.group}/${this.#name}`, this.#run.owner);
    this.#kept = true;
    return sentences;
  }

  /** False: it is about to overflow, and nothing can be done. */
  async #grow(usedBytes: number, storeBytes: number): Promise<boolean> {
    const atMs = performance.now();
    const last = this.#last ?? { usedBytes, atMs };
    const seconds = (atMs - last.atMs) / 1000;
    const bytesPerSecond = seconds < 0.1 ? 0 : Math.max(0, usedBytes - last.usedBytes) / seconds;
    this.#last = { usedBytes, atMs };
    const fill = { usedBytes, storeBytes, bytesPerSecond, unitBytes: this.#origin.extentBytes };
    const { maxBytes } = this.#run.options;
    const limit = maxBytes === undefined ? {} : { maxBytes };
    if (growth({ ...fill, freeBytes: Number.POSITIVE_INFINITY, ...limit }) > 0) {
      const [now] = await volumes(this.#run.run, [`${this.#origin.group}/${this.#name}`]);
      const bytes = growth({ ...fill, freeBytes: now?.groupFreeBytes ?? 0, ...limit });
      if (bytes > 0) {
        this.#run.step(`${this.volume.path}: snapshot ${formatSize(usedBytes)} full, grown by ${formatSize(bytes)}`);
        const full = `${this.#origin.group}/${this.#name}`;
        const { status } = await attempt(this.#run.run, "lvextend", ["-y", "-L", `+${bytes}b`, full]);
        if (status === 0) return true;
      }
    }
    return !aboutToOverflow(usedBytes, storeBytes);
  }

  get #mapper(): string {
    return mapperName(this.#origin.group, this.#name);
  }
}
