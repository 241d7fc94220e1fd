// Two projects: unit tests, each file in a process of its own (they open and close descriptors by number), and end-to-end tests, which mount images
// and run the built CLI, two files at a time. Benchmarks are not tests (npm run bench).

import { defineConfig } from "vitest/config";

const endToEnd = ["test/e2e/**/*.test.ts", "test/support/**/*.test.ts"];

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: endToEnd,
          testTimeout: 30_000,
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
          globalSetup: ["test/support/build-once.ts", "test/support/sweep.ts"],
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
