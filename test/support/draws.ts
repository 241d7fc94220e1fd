// How much properties draw (set up for every test). As they stand the same in each run, so that what is red stays red until it is mended;
// TSFSA_TEST_DRAWS=N: N times as much, of random seeds, to be run now and then with --testTimeout=3000000.

import * as fc from "fast-check";

const times = Number(process.env["TSFSA_TEST_DRAWS"] ?? 0);

/** A number of draws, as many times as is wanted. */
export function draws(count: number): number {
  return count * Math.max(times, 1);
}

fc.configureGlobal({ numRuns: draws(100), ...(times > 0 ? {} : { seed: 20_261_122 }) });
