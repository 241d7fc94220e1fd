// What the providers that hold the mounted file system itself share.

import type { OpenSource } from "../filesystem/types.ts";
import { deviceNumber } from "../filesystem/block.ts";
import { statSource } from "../filesystem/writable.ts";
import type { DeviceNumber } from "../sys/stat.ts";
import type { Volume } from "./volume.ts";

/** Device number that files of the volume have (st_dev): of btrfs that of the subvolume. */
export function fileSystemNumber(volume: Volume): DeviceNumber {
  return volume.type === "btrfs" ? deviceNumber(statSource(volume.mountPoint).dev) : volume.device;
}

/** The source as the archiver sees it: nobody writes while it is held; that is proved by the provider. The provider closes it. */
export function heldSource(source: OpenSource): OpenSource {
  return { ...source, frozen: true, checkFrozen: () => ({ writable: false }), close: () => Promise.resolve() };
}
