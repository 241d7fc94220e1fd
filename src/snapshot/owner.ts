// Whose a snapshot is. All that we create carries its owner: process, its start time and the boot, so that what a killed run left behind can be
// told from what a living one uses, also when process numbers come round.

import { readFileSync } from "node:fs";

/** Text of an owner: `PID-START-BOOT`; fits LVM tags, LVM and device-mapper names and file names. */
export type Owner = string;

/** Owner of what was made to stay. */
export const keptOwner: Owner = "kept";

/** Begins the tag of each of our logical volumes. */
export const tagPrefix = "tsfsa.";

function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "latin1").slice(0, 8);
}

/** Field 22 of proc_pid_stat(5); the name in field 2 may hold anything. */
function startOf(pid: string): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    return text.slice(text.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

export function thisOwner(): Owner {
  return `${process.pid}-${startOf("self") ?? "0"}-${bootId()}`;
}

/** Whether the process that owns it lives. */
export function ownerLives(owner: Owner): boolean {
  const [, pid, start, boot] = /^(\d+)-(\d+)-([0-9a-f]{8})$/.exec(owner) ?? [];
  return pid !== undefined && boot === bootId() && startOf(pid) === start;
}

export function stateOf(owner: Owner): "kept" | "running" | "orphan" {
  if (owner === keptOwner) return "kept";
  return ownerLives(owner) ? "running" : "orphan";
}

/** `-tsfsa-OWNER-SERIAL` at the end of a name, as snapshotName() makes it. */
const pattern = /^(.*)[.]tsfsa-(kept|\d+-\d+-[0-9a-f]{8})-(\d+)$/s;

/** What the name of a snapshot tells of its origin: long names are cut, for all of it may have 127 bytes (LVM, device-mapper with suffix). */
export function originPart(origin: string): string {
  return origin.slice(0, 60);
}

export function snapshotName(origin: string, owner: Owner, serial: number): string {
  return `${originPart(origin)}.tsfsa-${owner}-${serial}`;
}

/** The first free name for a snapshot of `origin` that stays. */
export function keptName(origin: string, isTaken: (name: string) => boolean): string {
  let serial = 0;
  while (isTaken(snapshotName(origin, keptOwner, serial))) serial += 1;
  return snapshotName(origin, keptOwner, serial);
}

/** `origin`: as much as originPart() leaves of it. */
export function parseSnapshotName(
  name: string,
): { readonly origin: string; readonly owner: Owner; readonly serial: number } | undefined {
  const [, origin, owner, serial] = pattern.exec(name) ?? [];
  return origin === undefined || owner === undefined ? undefined : { origin, owner, serial: Number(serial) };
}
