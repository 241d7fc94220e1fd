// Trying is bounded, whatever a proof costs, and hears signals.

import { describe, expect, it } from "vitest";
import { SegmentRepair } from "../../src/archive/segment-repair.ts";
import { equalBytes } from "../../src/base/bytes.ts";
import { limits } from "../../src/base/limits.ts";
import { withParity } from "../../src/format/parity.ts";
import { noise } from "../support/trees.ts";

const whole = withParity(noise(50_000, 1));
const damaged = whole.slice().fill(0, 10_000, 13_000);
const silent = { pause: async (): Promise<void> => {} };

describe("SegmentRepair", () => {
  it("finds what was written", async () => {
    const found = await new SegmentRepair(silent).repair(damaged, 0, 0, (tried) => equalBytes(tried, whole));
    expect(found).toEqual(whole);
  });

  // Only the payloads were counted: what was hashed behind them, up to 80 MiB and a record for each try, had no bound.
  it("counts what a proof looks at besides, through all segments of an archive", async () => {
    const repair = new SegmentRepair(silent);
    let tries = 0;
    const never = (): boolean => {
      tries++;
      return false;
    };
    for (let segment = 0; segment < 3; segment++) {
      expect(await repair.repair(damaged, 0, limits.segmentContentBytes, never)).toBeUndefined();
    }
    expect(tries).toBe(7);
  });

  it("ends with the reason of a signal", async () => {
    const stop = new Error("stopped");
    const repair = new SegmentRepair({ pause: () => Promise.reject(stop) });
    await expect(repair.repair(damaged, 0, 0, () => false)).rejects.toBe(stop);
  });
});
