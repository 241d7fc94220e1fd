// Provider lvm: a thick (copy-on-write) snapshot of a logical volume. lvcreate itself freezes the file system that is mounted from the origin, so
// it is not frozen before. The store is sized so that it cannot overflow where the volume group has room; else it is watched and grown.

import type { Cleanup } from "../filesystem/cleanup.ts";
import { LogicalSnapshot, logicalVolumeOf, volumes } from "./lvm-volume.ts";
import type { Detection, Health, Provider, Snapshot, SnapshotRun } from "./provider.ts";
import { type LogicalVolume, mapperName, parseSnapshotStatus } from "./reports.ts";
import { aboutToOverflow, growth, planStore, type StorePlan } from "./sizing.ts";
import { attempt } from "./tools.ts";
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
  if (typeof plan === "string")
    return { fits: false, reason: `no store of changes in the volume group ${origin.group}: ${plan}` };
  const room = plan.complete ? "cannot overflow" : `${formatSize(plan.bytes)} for changes, grown while there is room`;
  return {
    fits: true,
    reason: `logical volume ${origin.group}/${origin.name}; ${room}`,
    commands: [`lvcreate ${createWords(origin, "NAME", plan, "TAG").join(" ")}`, `lvremove -y ${origin.group}/NAME`],
    begin: (cleanup, serial) => new LvmSnapshot(volume, run, origin, plan, cleanup, serial),
  };
}

/** `--monitor n` of tools that have no such option. */
const unwatched = ["--config", "activation/monitoring=0"];

/** `--monitor n`: dmeventd would unmount a full snapshot by force, and whoever reads by path would then read what lies below. */
export function createWords(origin: LogicalVolume, name: string, { bytes }: StorePlan, tag: string): string[] {
  const full = `${origin.group}/${origin.name}`;
  return ["-y", "-s", "-n", name, "-L", `${bytes}b`, "--monitor", "n", "--addtag", tag, full];
}

class LvmSnapshot extends LogicalSnapshot implements Snapshot {
  readonly method = "lvm";
  readonly sharesInstant = true;
  readonly hold: NonNullable<Snapshot["hold"]>;
  readonly #plan: StorePlan;
  #last: { readonly usedBytes: number; readonly atMs: number } | undefined;

  constructor(
    volume: Volume,
    run: SnapshotRun,
    origin: LogicalVolume,
    plan: StorePlan,
    cleanup: Cleanup,
    serial: number,
  ) {
    super(volume, run, origin, cleanup, serial);
    this.hold = { kind: "suspend", fd: -1, name: mapperName(origin.group, origin.name), label: volume.path };
    this.#plan = plan;
  }

  create(heldFd?: number): Promise<void> {
    return this.make((name, tag) => createWords(this.origin, name, this.#plan, tag), heldFd);
  }

  async health(): Promise<Health> {
    const { status, stdout, stderr } = await attempt(this.run.run, "dmsetup", ["status", this.mapper]);
    if (status !== 0) return { valid: false, reason: `the snapshot is gone: ${stderr.trim()}` };
    const found = parseSnapshotStatus(stdout);
    if (!found.valid) return { valid: false, reason: `the snapshot overflowed or broke: ${found.reason}` };
    const { usedBytes, storeBytes } = found;
    const isShort = !this.#plan.complete && !(await this.#grow(usedBytes, storeBytes));
    if (!isShort) return { valid: true, usedBytes, storeBytes };
    const reason = `its store is full to ${formatSize(usedBytes)} of ${formatSize(storeBytes)} and cannot grow`;
    return { valid: true, reason, usedBytes, storeBytes };
  }

  /** False: it is about to overflow, and nothing can be done. */
  async #grow(usedBytes: number, storeBytes: number): Promise<boolean> {
    const atMs = performance.now();
    const last = this.#last ?? { usedBytes, atMs };
    const seconds = (atMs - last.atMs) / 1000;
    const bytesPerSecond = seconds < 0.1 ? 0 : Math.max(0, usedBytes - last.usedBytes) / seconds;
    this.#last = { usedBytes, atMs };
    const { sizeBytes: originBytes, extentBytes: unitBytes } = this.origin;
    const fill = { usedBytes, storeBytes, originBytes, bytesPerSecond, unitBytes };
    const { maxBytes } = this.run.options;
    const limit = maxBytes === undefined ? {} : { maxBytes };
    if (growth({ ...fill, freeBytes: Number.POSITIVE_INFINITY, ...limit }) > 0) {
      const [now] = await volumes(this.run.run, [this.full]);
      const bytes = growth({ ...fill, freeBytes: now?.groupFreeBytes ?? 0, ...limit });
      if (bytes > 0) {
        this.run.step(`${this.volume.path}: snapshot ${formatSize(usedBytes)} full, grown by ${formatSize(bytes)}`);
        const { status } = await attempt(this.run.run, "lvextend", [...unwatched, "-y", "-L", `+${bytes}b`, this.full]);
        if (status === 0) return true;
      }
    }
    return !aboutToOverflow(fill);
  }
}
