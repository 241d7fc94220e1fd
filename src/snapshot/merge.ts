// Going back to a snapshot that was kept: the origin gets its old content. LVM does it itself; of device-mapper's tables it is done here. The origin
// must not be mounted: what is mounted would be changed below the file system.

import { closeSync, constants, openSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { TsfsaError } from "../base/errors.ts";
import type { ToolRunner } from "../filesystem/recreate/tools.ts";
import { devicePath } from "../filesystem/block.ts";
import { useOf } from "../filesystem/use.ts";
import { statSource } from "../filesystem/writable.ts";
import type { SnapshotInfo } from "../model/snapshot.ts";
import { parseSnapshotStatus, tableSectors } from "./reports.ts";
import { call, persist } from "./tools.ts";

const pollMs = 500;

/** Returns a sentence on what happened. Throws TARGET_REFUSED while the origin is mounted (dm), UNSUPPORTED, TOOL_FAILED. */
export async function mergeSnapshot(
  run: ToolRunner,
  found: SnapshotInfo,
  signal: AbortSignal,
  step: (message: string) => void,
): Promise<string> {
  if (!found.valid)
    throw new TsfsaError("SNAPSHOT_LOST", `${found.name} is not valid any more: there is nothing to go back to`);
  if (found.method === "lvm" || found.method === "lvm-thin") {
    const said = await call(run, "lvconvert", ["-y", "--merge", found.name]);
    return said.includes("next activation") || said.includes("Delaying")
      ? `${found.origin} is in use: it goes back to ${found.name} when it is activated next (at the next boot)`
      : `${found.origin} is back at the state of ${found.name}`;
  }
  if (found.method !== "dm") {
    throw new TsfsaError("UNSUPPORTED", `${found.name} is a ${found.method} snapshot: expected lvm, lvm-thin or dm`, {
      hints: ["btrfs: mount the snapshot in place of the subvolume, or copy from it"],
    });
  }
  return mergeMapped(run, found, signal, step);
}

async function mergeMapped(
  run: ToolRunner,
  { name, origin }: SnapshotInfo,
  signal: AbortSignal,
  step: (message: string) => void,
): Promise<string> {
  for (const device of [origin, `${name}-snap`]) refuseMounted(`/dev/mapper/${device}`);
  const own = await call(run, "dmsetup", ["table", "--showkeys", `${name}-real`]);
  const snapshot = (await call(run, "dmsetup", ["table", `${name}-snap`])).trim().split(" ");
  const [, , , , store = "", persistence = "P", chunk = "8"] = snapshot;
  // The loop device goes with its last user: between the removal of the snapshot and the table that merges that is us.
  const storeFd = openStore(store);
  try {
    await persist(run, "dmsetup", ["remove", `${name}-snap`]);
    await swap(run, origin, merging(own, name, store, persistence, chunk));
  } finally {
    closeSync(storeFd);
  }
  for (;;) {
    const found = parseSnapshotStatus(await call(run, "dmsetup", ["status", origin]));
    if (!found.valid) throw new TsfsaError("FAILED", `merging into ${origin} failed: ${found.reason}`);
    if (found.usedBytes === found.metadataBytes) break;
    step(`${origin}: ${found.usedBytes - found.metadataBytes} bytes to merge`);
    // The kernel goes on by itself: only the waiting can be stopped.
    await sleep(pollMs, undefined, { signal });
  }
  await swap(run, origin, own);
  await persist(run, "dmsetup", ["remove", `${name}-real`]);
  return `${origin} is back at the state of ${name}`;
}

function merging(own: string, name: string, ...store: readonly string[]): string {
  return `0 ${tableSectors(own)} snapshot-merge /dev/mapper/${name}-real ${store.join(" ")}\n`;
}

/** store: `MAJOR:MINOR`, as a table names it. */
function openStore(store: string): number {
  const [major = 0, minor = 0] = store.split(":").map(Number);
  const path = devicePath({ major, minor });
  if (path === undefined) throw new TsfsaError("FAILED", `the store of changes ${store} has no node in /dev`);
  return openSync(path, constants.O_RDONLY);
}

async function swap(run: ToolRunner, device: string, table: string): Promise<void> {
  await call(run, "dmsetup", ["load", device], { input: table });
  await call(run, "dmsetup", ["suspend", device]);
  await call(run, "dmsetup", ["resume", device]);
}

function refuseMounted(path: string): void {
  const [mount] = useOf(statSource(path)).mounts;
  if (mount === undefined) return;
  throw new TsfsaError(
    "TARGET_REFUSED",
    `${path} is mounted at ${mount.mountPoint.toString()}: unmount it before it goes back`,
    { path },
  );
}
