// The stat records of a batch: what headers and rows take from them, in the range that archives hold. Offsets are those of records (sys/layout.ts).

import { type Device, nanosecondsMax, type Timestamp } from "../model/entry.ts";
import { STATX_BTIME } from "../sys/constants.ts";
import { readInt64, statLayout } from "../sys/layout.ts";

export class PlannedStats {
  readonly #view: DataView;

  constructor(view: DataView) {
    this.#view = view;
  }

  /** Permission bits, with set-id and sticky. */
  mode(at: number): number {
    return this.#view.getUint32(at + statLayout.mode, true) & 0o7777;
  }

  uid(at: number): number {
    return this.#id(at + statLayout.uid);
  }

  gid(at: number): number {
    return this.#id(at + statLayout.gid);
  }

  device(at: number): Device {
    return {
      major: this.#view.getUint32(at + statLayout.rdevMajor, true),
      minor: this.#view.getUint32(at + statLayout.rdevMinor, true),
    };
  }

  mtime(at: number): Timestamp {
    return this.#time(at + statLayout.mtime, at + statLayout.mtimeNs);
  }

  atime(at: number): Timestamp {
    return this.#time(at + statLayout.atime, at + statLayout.atimeNs);
  }

  /** Undefined: the file system knows none. */
  btime(at: number): Timestamp | undefined {
    if ((this.#view.getUint32(at + statLayout.mask, true) & STATX_BTIME) === 0) return undefined;
    return this.#time(at + statLayout.btime, at + statLayout.btimeNs);
  }

  /** A time that no archive holds: its seconds over 2^53, or nanoseconds that no clock has (damaged inodes). */
  hasStrangeTime(at: number): boolean {
    return (
      this.#isStrange(at + statLayout.mtime, at + statLayout.mtimeNs) ||
      this.#isStrange(at + statLayout.atime, at + statLayout.atimeNs) ||
      this.#isStrange(at + statLayout.btime, at + statLayout.btimeNs)
    );
  }

  #isStrange(secondsAt: number, nanosecondsAt: number): boolean {
    const high = this.#view.getInt32(secondsAt + 4, true);
    return high > 0x1f_ffff || high <= -0x20_0000 || this.#view.getUint32(nanosecondsAt, true) > nanosecondsMax;
  }

  #time(secondsAt: number, nanosecondsAt: number): Timestamp {
    return legalTime(readInt64(this.#view, secondsAt), this.#view.getUint32(nanosecondsAt, true));
  }

  /** A uid or gid; −1, which no chown takes, becomes the id before it. */
  #id(at: number): number {
    return Math.min(this.#view.getUint32(at, true), 0xffff_fffe);
  }
}

/** The nearest time that archives hold. */
export function legalTime(seconds: number, nanoseconds: number): Timestamp {
  const limit = Number.MAX_SAFE_INTEGER;
  return {
    seconds: Math.min(Math.max(seconds, -limit), limit),
    nanoseconds: Math.min(nanoseconds, nanosecondsMax),
  };
}
