// Unit tests, each file in a process of its own (they open and close descriptors by number); end-to-end tests, which mount images and run the built CLI,
// two files at a time; and tests on a kernel with device-mapper in emulated machines, one at a time (npm run test:vm). Benchmarks are not tests (npm run bench).

import { defineConfig } from "vitest/config";

const endToEnd = ["test/e2e/**/*.test.ts", "test/support/**/*.test.ts"];
const machines = ["test/vm/**/*.test.ts"];

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: [...endToEnd, ...machines],
          testTimeout: 30_000,
          setupFiles: ["test/support/draws.ts"],
          globalSetup: ["test/support/build-once.ts"],
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: "e2e",
          include: endToEnd,
          maxWorkers: 2,
          testTimeout: 180_000,
          hookTimeout: 120_000,
          setupFiles: ["test/support/draws.ts"],
          globalSetup: ["test/support/build-once.ts", "test/support/programs.ts", "test/support/sweep.ts"],
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: "vm",
          include: machines,
          maxWorkers: 1,
          globalSetup: ["test/support/build-once.ts", "test/support/programs.ts", "test/vm/harness/set-up.ts"],
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
