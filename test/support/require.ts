// What tests need of the machine. Call requireOrSkip at the top of a file or of a describe block: without the need its tests are
// skipped with the reason; where TSFSA_TEST_REQUIRE lists the need (`root,loop`), that is a failure instead.

import { existsSync } from "node:fs";
import { beforeEach } from "vitest";

const isRoot = process.geteuid?.() === 0;

const reasons: Readonly<Record<string, () => string | undefined>> = {
  root: () => (isRoot ? undefined : "needs root"),
  databases: () =>
    existsSync("/usr/lib/postgresql") && existsSync("/usr/sbin/mariadbd") ? undefined : "needs PostgreSQL and MariaDB",
  loop: () => (isRoot && existsSync("/dev/loop-control") ? undefined : "needs root and loop devices"),
};

export function requireOrSkip(...needs: readonly string[]): void {
  const required = (process.env["TSFSA_TEST_REQUIRE"] ?? "").split(",");
  for (const need of needs) {
    const reason = (reasons[need] ?? (() => `needs ${need}, which the test machinery does not know`))();
    if (reason === undefined) continue;
    if (required.includes(need))
      throw new Error(`TSFSA_TEST_REQUIRE lists ${need}, but this machine lacks it: ${reason}`);
    beforeEach((context) => context.skip(reason));
  }
}
