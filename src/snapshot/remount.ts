// Provider remount-ro: the file system is made read-only while it is read, which the kernel refuses while files are open for writing. A guard
// process makes it writable again, whatever becomes of this one.

import { TsfsaError } from "../base/errors.ts";
import type { Cleanup } from "../filesystem/cleanup.ts";
import { openSource } from "../filesystem/open-source.ts";
import type { OpenSource } from "../filesystem/types.ts";
import { Guard } from "../sys/guard.ts";
import type { Detection, Health, Provider, Snapshot, SnapshotRun } from "./provider.ts";
import { heldSource, refuseOurOwn } from "./held.ts";
import type { Volume } from "./volume.ts";
import { openDirectory } from "./directory.ts";

export const remountRo: Provider = { method: "remount-ro", detect };

async function detect(volume: Volume, run: SnapshotRun): Promise<Detection> {
  return (
    refuseOurOwn(volume, run) ?? {
      fits: true,
      reason: "read-only while it is read, if no file is open for writing",
      commands: [`mount -o remount,ro ${volume.mountPoint}`, `mount -o remount,rw ${volume.mountPoint}`],
      begin: (cleanup) => new Remount(volume, cleanup),
    }
  );
}

class Remount implements Snapshot {
  readonly method = "remount-ro";
  readonly needsHold = false;
  readonly sharesInstant = true;
  readonly volume: Volume;
  readonly #cleanup: Cleanup;
  #guard: Guard | undefined;
  #source: OpenSource | undefined;
  #heldMs: number | undefined;

  constructor(volume: Volume, cleanup: Cleanup) {
    this.volume = volume;
    this.#cleanup = cleanup;
  }

  async prepare(): Promise<void> {}

  async create(): Promise<void> {
    const { path, mountPoint } = this.volume;
    const fd = openDirectory(this.#cleanup, mountPoint);
    try {
      this.#guard = await Guard.hold([{ kind: "read-only", fd, label: path }], 0);
    } catch (error) {
      if (!(error instanceof TsfsaError) || error.context.errno === undefined) throw error;
      throw error.context.errno === "EBUSY"
        ? new TsfsaError("SNAPSHOT_REFUSED", `${path} cannot be made read-only: files on it are open for writing`, {
            path,
            hints: [`fuser -vm ${mountPoint} shows who holds them`],
          })
        : new TsfsaError("SNAPSHOT_REFUSED", `${path} cannot be made read-only: ${error.message}`, {
            path,
            cause: error,
          });
    }
    const guard = this.#guard;
    this.#cleanup.defer(async () => {
      const { failures, heldMs } = await guard.release(true);
      this.#heldMs = heldMs;
      if (failures.length > 0) {
        throw new TsfsaError(
          "FAILED",
          `${failures.join("; ")}: it may still be read-only: mount -o remount,rw ${mountPoint}`,
          { path },
        );
      }
    });
  }

  async open(): Promise<OpenSource> {
    const source = await openSource(this.volume.path, { allowRw: false });
    this.#source = source;
    this.#cleanup.defer(() => source.close());
    return heldSource(source);
  }

  async health(): Promise<Health> {
    const state = this.#source?.checkFrozen() ?? { writable: false };
    return state.writable ? { valid: false, reason: `it became writable: ${state.reason}` } : { valid: true };
  }

  frozenMs(): number | undefined {
    return this.#heldMs;
  }

  keep(): Promise<readonly string[]> {
    return Promise.reject(new TsfsaError("UNSUPPORTED", "a read-only remount cannot be kept: it is undone"));
  }
}
