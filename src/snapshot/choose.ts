// Which way of freezing fits a volume: the one that was asked for, or the first that fits, with the reasons of those before it.

import { TsfsaError } from "../base/errors.ts";
import type { SnapshotMethod } from "../model/snapshot.ts";
import { btrfs } from "./btrfs.ts";
import { dm } from "./dm.ts";
import { freeze } from "./freeze.ts";
import { lvm } from "./lvm.ts";
import { lvmThin } from "./lvm-thin.ts";
import type { Detection, Provider, SnapshotRun } from "./provider.ts";
import { remountRo } from "./remount.ts";
import type { Volume } from "./volume.ts";

/** In the order in which `auto` asks: the least burden first. */
export const providers: readonly Provider[] = [lvm, lvmThin, dm, btrfs, freeze, remountRo];

export type Fit = Extract<Detection, { readonly fits: true }>;

export interface Choice {
  readonly method: SnapshotMethod;
  readonly fit: Fit;
  /** Why the methods before it do not fit. */
  readonly passedOver: readonly string[];
}

/** Throws SNAPSHOT_REFUSED where nothing fits. */
export async function choose(volume: Volume, method: SnapshotMethod | "auto", run: SnapshotRun): Promise<Choice> {
  const passedOver: string[] = [];
  for (const provider of providers) {
    if (method !== "auto" && provider.method !== method) continue;
    const found = await provider.detect(volume, run);
    if (found.fits) return { method: provider.method, fit: found, passedOver };
    passedOver.push(`${provider.method}: ${found.reason}`);
  }
  const { path } = volume;
  const asked = method === "auto" ? "no snapshot method fits" : `no snapshot can be made with ${method}`;
  throw new TsfsaError("SNAPSHOT_REFUSED", `${path}: ${asked}`, {
    path,
    hints: [...passedOver, ...(method === "auto" ? [] : [`tsfsa snapshot plan ${path} shows what is possible`])],
  });
}
