// Which way of freezing fits a volume: the one that was asked for, or the first that fits, with the reasons of those before it. What can be known without
// a tool is judged as for probe; the provider is asked about the rest.

import { TsfsaError } from "../base/errors.ts";
import { judgeMethod } from "../filesystem/snapshot-method.ts";
import { type SnapshotMethod, snapshotMethods } from "../model/snapshot.ts";
import { btrfs } from "./btrfs.ts";
import { dm } from "./dm.ts";
import { freeze } from "./freeze.ts";
import { lvm } from "./lvm.ts";
import { lvmThin } from "./lvm-thin.ts";
import type { Detection, Provider, SnapshotRun } from "./provider.ts";
import { remountRo } from "./remount.ts";
import type { Volume } from "./volume.ts";

const providers: Readonly<Record<SnapshotMethod, Provider>> = {
  lvm,
  "lvm-thin": lvmThin,
  dm,
  btrfs,
  freeze,
  "remount-ro": remountRo,
};

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
  const facts = { type: volume.type, mountPoints: [volume.mountPoint], mapper: volume.mapped };
  for (const each of method === "auto" ? snapshotMethods : [method]) {
    const judged = judgeMethod(each, facts);
    const found = judged.fits
      ? await providers[each].detect(volume, run)
      : { fits: false as const, reason: judged.reason };
    if (found.fits) return { method: each, fit: found, passedOver };
    passedOver.push(`${each}: ${found.reason}`);
  }
  const { path } = volume;
  const asked = method === "auto" ? "no snapshot method fits" : `no snapshot can be made with ${method}`;
  throw new TsfsaError("SNAPSHOT_REFUSED", `${path}: ${asked}`, {
    path,
    hints: [...passedOver, ...(method === "auto" ? [] : [`tsfsa snapshot plan ${path} shows what is possible`])],
  });
}
