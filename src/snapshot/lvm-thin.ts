// Provider lvm-thin: a snapshot in a thin pool. It has no size and never becomes invalid by itself; the pool can become full, and then the *origin*
// loses what it writes. So it is refused, and given up, while there is still room.

import { formatSize } from "../base/units.ts";
import { LogicalSnapshot, logicalVolumeOf, volumes } from "./lvm-volume.ts";
import type { Detection, Health, Provider, Snapshot, SnapshotRun } from "./provider.ts";
import { type LogicalVolume, mapperName, parsePoolStatus } from "./reports.ts";
import { attempt } from "./tools.ts";
import type { Volume } from "./volume.ts";

/** Fill of a pool's data or metadata above which no snapshot is begun, and above which a running one is given up. */
const refusedPercent = 80;
const lostShare = 0.95;

export const lvmThin: Provider = { method: "lvm-thin", detect };

async function detect(volume: Volume, run: SnapshotRun): Promise<Detection> {
  const origin = await logicalVolumeOf(volume, run.run);
  if (typeof origin === "string") return { fits: false, reason: origin };
  const [pool] = await volumes(run.run, [`${origin.group}/${origin.pool}`]);
  if (pool === undefined) return { fits: false, reason: `LVM does not know the pool ${origin.group}/${origin.pool}` };
  const fill = `the pool ${pool.group}/${pool.name} is full to ${pool.dataPercent} % (metadata ${pool.metadataPercent} %)`;
  if (Math.max(pool.dataPercent, pool.metadataPercent) > refusedPercent) {
    return { fits: false, reason: `${fill}: a full pool loses data of its volumes; extend it with lvextend` };
  }
  return {
    fits: true,
    reason: `thin volume ${origin.group}/${origin.name}; ${fill}`,
    commands: [`lvcreate ${createWords(origin, "NAME", "TAG").join(" ")}`, `lvremove -y ${origin.group}/NAME`],
    begin: (cleanup, serial) => new ThinSnapshot(volume, run, origin, cleanup, serial),
  };
}

/** No size: with one the snapshot would be a thick one. `-kn`: thin snapshots are otherwise not activated. */
export function createWords(origin: LogicalVolume, name: string, tag: string): string[] {
  return ["-y", "-s", "-kn", "-ay", "-n", name, "--addtag", tag, `${origin.group}/${origin.name}`];
}

class ThinSnapshot extends LogicalSnapshot implements Snapshot {
  readonly method = "lvm-thin";
  /** lvcreate sends the pool its message only where it suspends the origin itself. */
  readonly sharesInstant = false;

  create(): Promise<void> {
    return this.make((name, tag) => createWords(this.origin, name, tag));
  }

  async health(): Promise<Health> {
    const { group, pool } = this.origin;
    const snapshot = await attempt(this.run.run, "dmsetup", ["status", this.mapper]);
    const [, , target, mapped] = snapshot.stdout.trim().split(/\s+/);
    if (snapshot.status !== 0 || target !== "thin" || mapped === "Fail" || mapped === "Error") {
      return { valid: false, reason: `the thin snapshot is gone or failed: ${snapshot.stderr.trim() || mapped}` };
    }
    const { stdout } = await attempt(this.run.run, "dmsetup", ["status", mapperName(group, pool, "tpool")]);
    const found = parsePoolStatus(stdout);
    if (found === undefined || found.mode === "Fail" || found.mode === "Error") {
      return { valid: false, reason: `the thin pool ${group}/${pool} failed` };
    }
    const { usedBytes, storeBytes, dataShare, metadataShare } = found;
    const isFull = Math.max(dataShare, metadataShare) > lostShare || found.mode !== "rw" || found.needsCheck;
    if (!isFull) return { valid: true, usedBytes, storeBytes };
    const fill = `${formatSize(usedBytes)} of ${formatSize(storeBytes)}, metadata ${Math.round(metadataShare * 100)} %`;
    return {
      valid: true,
      reason: `the pool ${group}/${pool} runs full (${fill}): the volume itself would lose data`,
      usedBytes,
      storeBytes,
    };
  }
}
