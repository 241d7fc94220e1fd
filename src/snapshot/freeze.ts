// Provider freeze: the file system stands still while it is read. Writers wait, so it is bounded, and a guard process thaws it when the time is over
// or this process is gone. Whatever we ourselves write must lie elsewhere.

import { TsfsaError } from "../base/errors.ts";
import type { Cleanup } from "../filesystem/cleanup.ts";
import { openSource } from "../filesystem/open-source.ts";
import type { OpenSource } from "../filesystem/types.ts";
import { Guard } from "../sys/guard.ts";
import type { Detection, Health, Provider, Snapshot, SnapshotRun } from "./provider.ts";
import { heldSource, refuseOurOwn } from "./held.ts";
import type { Volume } from "./volume.ts";

export const freeze: Provider = { method: "freeze", detect };

async function detect(volume: Volume, run: SnapshotRun): Promise<Detection> {
  return (
    refuseOurOwn(volume, run) ?? {
      fits: true,
      reason: `writers wait until it is read, for at most ${run.options.maxFreezeMs / 1000} s`,
      commands: [`fsfreeze --freeze ${volume.mountPoint}`, `fsfreeze --unfreeze ${volume.mountPoint}`],
      begin: (cleanup) => new Freeze(volume, run, cleanup),
    }
  );
}

class Freeze implements Snapshot {
  readonly method = "freeze";
  readonly needsHold = false;
  readonly sharesInstant = true;
  readonly volume: Volume;
  readonly #run: SnapshotRun;
  readonly #cleanup: Cleanup;
  #source: OpenSource | undefined;
  #guard: Guard | undefined;
  #lost: string | undefined;
  #frozenMs: number | undefined;

  constructor(volume: Volume, run: SnapshotRun, cleanup: Cleanup) {
    this.volume = volume;
    this.#run = run;
    this.#cleanup = cleanup;
  }

  /** Opened before: mounting may wait for a frozen file system. */
  async prepare(): Promise<void> {
    const source = await openSource(this.volume.path, { allowRw: true });
    this.#cleanup.defer(() => source.close());
    this.#source = source;
  }

  async create(): Promise<void> {
    const fd = (this.#source as OpenSource).rootFd;
    const label = this.volume.path;
    try {
      this.#guard = await Guard.hold([{ kind: "freeze", fd, label }], this.#run.options.maxFreezeMs);
    } catch (error) {
      if (!(error instanceof TsfsaError) || error.context.errno === undefined) throw error;
      const why = error.context.errno === "EBUSY" ? "it is frozen already" : error.message;
      throw new TsfsaError("SNAPSHOT_REFUSED", `${label} cannot be frozen: ${why}`, { path: label, cause: error });
    }
    const guard = this.#guard;
    this.#cleanup.defer(async () => {
      this.#frozenMs = (await guard.release(true)).heldMs;
    });
    void guard.ended.then(({ reason, heldMs, failures }) => {
      this.#frozenMs = heldMs;
      if (reason === "expired")
        this.#lost = `it was thawed after ${Math.round(heldMs)} ms (--max-freeze), before all was read`;
      else if (reason === "lost") this.#lost = "the process that guards the freeze was killed, so it was thawed";
      else if (failures.length > 0) this.#lost = `somebody else thawed it: ${failures.join("; ")}`;
    });
  }

  async open(): Promise<OpenSource> {
    return heldSource(this.#source as OpenSource);
  }

  /** The kernel's answer to the thaw is the proof: a file system that was not frozen any more cannot be thawed. */
  async health(last: boolean): Promise<Health> {
    if (last) await this.#guard?.release(true);
    return this.#lost === undefined ? { valid: true } : { valid: false, reason: this.#lost };
  }

  frozenMs(): number | undefined {
    return this.#frozenMs;
  }

  keep(): Promise<readonly string[]> {
    return Promise.reject(new TsfsaError("UNSUPPORTED", "a frozen file system cannot be kept: it is thawed"));
  }
}
