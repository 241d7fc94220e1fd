// What kind of block device a number stands for, by sysfs alone: no tool, no root.

import { existsSync } from "node:fs";
import type { DeviceNumber } from "../sys/stat.ts";
import { deviceNumber, devicePath, namesIn, readText, sameDevice, statOrUndefined, sysfsOf } from "./block.ts";

/** The dm subsystems that have a meaning here; `dm`: any other volume of device-mapper. */
export type MapperKind = "lvm" | "crypt" | "multipath" | "dm";

export type DeviceKind = MapperKind | "disk" | "partition" | "loop" | "md" | "image";

export interface MapperFacts {
  readonly kind: MapperKind;
  /** A logical volume in a thin pool. */
  readonly isThin: boolean;
}

/** A volume's UUID begins with the subsystem that made it (libdm, DM_UUID_MAX and the tools' prefixes). */
const subsystems: readonly (readonly [RegExp, MapperKind])[] = [
  [/^LVM-/, "lvm"],
  [/^CRYPT-/, "crypt"],
  [/^(part\d+-)?mpath-/, "multipath"],
];

/** What device-mapper says of a device; undefined for any other device. */
export function mapperFacts(device: DeviceNumber): MapperFacts | undefined {
  const sysfs = sysfsOf(device);
  if (sysfs === undefined || !existsSync(`${sysfs}/dm`)) return undefined;
  return mapperFactsOf(
    readText(`${sysfs}/dm/uuid`).trim(),
    namesIn(`${sysfs}/slaves`).map((name) => readText(`${sysfs}/slaves/${name}/dm/uuid`).trim()),
  );
}

/** The same from its UUID and those of what it lies on: a thin volume lies on its pool, whose UUID ends in `-tpool`. */
export function mapperFactsOf(uuid: string, slaveUuids: readonly string[]): MapperFacts {
  const kind = subsystems.find(([prefix]) => prefix.test(uuid))?.[1] ?? "dm";
  return { kind, isThin: kind === "lvm" && slaveUuids.some((each) => each.endsWith("-tpool")) };
}

export function deviceKind(device: DeviceNumber): DeviceKind {
  const sysfs = sysfsOf(device);
  const has = (name: string): boolean => sysfs !== undefined && existsSync(`${sysfs}/${name}`);
  if (has("partition")) return "partition";
  return mapperFacts(device)?.kind ?? (has("md") ? "md" : has("loop") ? "loop" : "disk");
}

/** The node people know a device by: `/dev/mapper/vg-root` rather than `/dev/dm-0`. */
export function friendlyPath(device: DeviceNumber): string | undefined {
  const sysfs = sysfsOf(device);
  const name = sysfs === undefined ? "" : readText(`${sysfs}/dm/name`).trim();
  const path = `/dev/mapper/${name}`;
  const stat = name === "" ? undefined : statOrUndefined(path);
  const isIt = stat?.isBlockDevice() === true && sameDevice(deviceNumber(stat.rdev), device);
  return isIt ? path : devicePath(device);
}

/** Bytes by sysfs, which needs no permission to open the device. */
export function deviceSizeBytes(device: DeviceNumber): number {
  const sysfs = sysfsOf(device);
  return sysfs === undefined ? 0 : Number(readText(`${sysfs}/size`).trim()) * 512;
}
