// probe: what the machine's block devices, or the devices and images named, hold and how they are used.

import { probe as probeDevices } from "../filesystem/probe.ts";
import type { ProbedDevice } from "../filesystem/types.ts";
import type { CommandContext, Outcome, ProbeOptions } from "../model/options.ts";

export interface ProbeDetails {
  readonly devices: readonly ProbedDevice[];
}

/** Throws SOURCE_MISSING for a name of nothing. Opens read-only, changes nothing, needs no root for what the user may read. */
export async function probe({ devices }: ProbeOptions, { signal }: CommandContext): Promise<Outcome<ProbeDetails>> {
  const found = await probeDevices(devices.length === 0 ? undefined : devices);
  signal.throwIfAborted();
  return { status: 0, warnings: 0, details: { devices: found } };
}
