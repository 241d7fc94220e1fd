// The golden archives of fixtures/golden: every version of the program must read them, byte for byte as they were written.

import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, test } from "vitest";
import { expectStatus } from "../support/cli.ts";
import { requireOrSkip } from "../support/require.ts";
import { run } from "../support/run.ts";

const folder = fileURLToPath(new URL("../../fixtures/golden/", import.meta.url));
const names = readdirSync(folder)
  .filter((name) => name.endsWith(".tsfsa"))
  .map((name) => name.slice(0, -".tsfsa".length));

const scratch: string[] = [];
afterEach(async () => {
  for (const path of scratch.splice(0)) {
    await run(["chattr", "-R", "-f", "-i", path]); // one directory of the tree is immutable
    rmSync(path, { recursive: true, force: true });
  }
});

function entriesOf(ndjson: string): unknown[] {
  return ndjson
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as { readonly type: string })
    .filter(({ type }) => type === "entry");
}

test.each([1, 2])("there are golden archives of format version %i", (version) => {
  expect(names.filter((name) => name.startsWith(`v${version}-`)).length).toBeGreaterThanOrEqual(4);
});

describe.each(names)("the golden archive %s", (name) => {
  const archive = join(folder, `${name}.tsfsa`);

  test("verifies", async () => {
    await expectStatus(0, ["verify", archive]);
  });

  test("lists what it listed when it was made", async () => {
    const listed = await expectStatus(0, ["list", "--json", archive]);
    const expected = entriesOf(readFileSync(join(folder, `${name}.list.ndjson`), "utf8"));
    expect(expected.length).toBeGreaterThan(20);
    expect(entriesOf(listed.stdout.toString())).toEqual(expected);
  });

  test("restores without a warning", async () => {
    requireOrSkip("root");
    const target = mkdtempSync(join(tmpdir(), "tsfsa-golden-"));
    scratch.push(target);
    const restored = join(target, "tree");
    await expectStatus(0, ["restdir", archive, restored]);
    const plain = name.includes("two-sources") ? join(restored, "0/plain") : join(restored, "plain");
    expect(readFileSync(plain, "utf8")).toBe("plain\n");
    expect(statSync(plain).mode & 0o7777).toBe(0o6755);
  });
});
