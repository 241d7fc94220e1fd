// What the providers that hold the mounted file system itself share.

import type { OpenSource } from "../filesystem/types.ts";
import { deviceNumber } from "../filesystem/block.ts";
import { statSource } from "../filesystem/writable.ts";
import { liesOn } from "./devices.ts";
import type { Detection, SnapshotRun } from "./provider.ts";
import type { Volume } from "./volume.ts";

/** Why it may not be held: what we ourselves write lies on it. */
export function refuseOurOwn(volume: Volume, run: SnapshotRun): Detection | undefined {
  // What files of the volume have as st_dev: of btrfs that of the subvolume.
  const number = volume.type === "btrfs" ? deviceNumber(statSource(volume.mountPoint).dev) : volume.device;
  const ours = run.written.find((path) => liesOn(path, number));
  return ours === undefined ? undefined : { fits: false, reason: `it holds ${ours}, which is written meanwhile` };
}

/** The source as the archiver sees it: nobody writes while it is held; that is proved by the provider. The provider closes it. */
export function heldSource(source: OpenSource): OpenSource {
  return { ...source, frozen: true, checkFrozen: () => ({ writable: false }), close: () => Promise.resolve() };
}
