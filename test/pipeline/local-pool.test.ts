import { expect, it } from "vitest";
import { LocalPool } from "../../src/pipeline/local-pool.ts";

it("lets signals and timers have a turn between jobs", async () => {
  const spin = (ms: number): { output: number } => {
    const end = performance.now() + ms;
    while (performance.now() < end);
    return { output: ms };
  };
  const pool = new LocalPool<{ spin: { input: number; output: number } }>({ spin });
  const stop = AbortSignal.timeout(1);
  let jobs = 0;
  while (!stop.aborted && jobs < 20) {
    await pool.run("spin", 30);
    jobs++;
  }
  expect(jobs).toBeLessThan(10);
});
