// Small questions to block devices and the files behind them.

import { existsSync, readFileSync, statSync } from "node:fs";
import { loopDevices, deviceNumber, kernelName, sameDevice } from "../filesystem/block.ts";
import type { DeviceNumber } from "../sys/stat.ts";

/** Bytes, by sysfs (sectors of 512): the device itself may not be ours to open. */
export function sizeOfDevice(device: DeviceNumber): number {
  return Number(readFileSync(`/sys/dev/block/${device.major}:${device.minor}/size`, "latin1")) * 512;
}

/** Whether device-mapper holds the device still now. */
export function isSuspended(device: DeviceNumber): boolean {
  const path = `/sys/class/block/${kernelName(device)}/dm/suspended`;
  return existsSync(path) && readFileSync(path, "utf8").trim() === "1";
}

/** Whether a file or directory lies on a file system, also through loop devices whose images lie on it. */
export function liesOn(path: string, filesystem: DeviceNumber): boolean {
  const loops = loopDevices();
  let device = deviceNumber(statSync(path).dev);
  for (let depth = 0; depth < 16; depth++) {
    if (sameDevice(device, filesystem)) return true;
    const loop = loops.find((each) => sameDevice(each, device));
    if (loop === undefined) return false;
    device = loop.backing;
  }
  return true;
}
