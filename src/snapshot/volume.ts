// What a path given to --snapshot means: the mounted file system below it and the block device it lies on.

import { deviceNumber, mountedDevice, readText } from "../filesystem/block.ts";
import { type MapperFacts, mapperFacts } from "../filesystem/kind.ts";
import type { Mount } from "../filesystem/mounts.ts";
import { sizeOfDevice } from "./devices.ts";
import { useOf } from "../filesystem/use.ts";
import { mountOf, statSource } from "../filesystem/writable.ts";
import type { DeviceNumber } from "../sys/stat.ts";

interface MappedDevice extends MapperFacts {
  readonly name: string;
}

export interface Volume {
  /** As given. */
  readonly path: string;
  readonly mountPoint: string;
  readonly type: string;
  /** Of btrfs: of the device it was mounted from. */
  readonly device: DeviceNumber;
  readonly devicePath: string;
  readonly sizeBytes: number;
  /** Where the device is one of device-mapper. */
  readonly mapped?: MappedDevice;
  readonly mount: Mount;
}

/** The volume at a mount point or on a device; undefined when nothing of it is mounted read-write here: then it needs no snapshot. */
export function findVolume(path: string): Volume | undefined {
  const stat = statSource(path);
  const mount = stat.isDirectory() ? rootMount(path) : ownWritableMount(path);
  if (mount === undefined || !mount.superblockWritable) return undefined;
  const source = mountedDevice(mount);
  if (source === undefined) return undefined;
  const device = mount.type === "btrfs" ? deviceNumber(statSource(source).rdev) : mount;
  const mapped = mappedDevice(device);
  return {
    path,
    mountPoint: stat.isDirectory() ? path : mount.mountPoint.toString(),
    type: mount.type,
    device: { major: device.major, minor: device.minor },
    devicePath: mapped === undefined ? source : `/dev/mapper/${mapped.name}`,
    sizeBytes: sizeOfDevice(device),
    ...(mapped === undefined ? {} : { mapped }),
    mount,
  };
}

function rootMount(path: string): Mount | undefined {
  const { mount, isRoot } = mountOf(path);
  return isRoot ? mount : undefined;
}

/** A mount that shows the whole file system comes first. */
function ownWritableMount(path: string): Mount | undefined {
  const { mounts } = useOf(statSource(path));
  const own = mounts.filter(({ pid, superblockWritable }) => pid === 0 && superblockWritable);
  return own.find(({ root }) => root.toString() === "/") ?? own[0];
}

function mappedDevice(device: DeviceNumber): MappedDevice | undefined {
  const facts = mapperFacts(device);
  return facts && { name: readText(`/sys/dev/block/${device.major}:${device.minor}/dm/name`).trim(), ...facts };
}
