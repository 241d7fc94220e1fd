// --allow-rw: a source that changes while it is read is saved all the same, and each file that changed is named.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { expectStatus, jsonLines, jsonPath, tsfsa } from "../support/cli.ts";
import { withLab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { makeSourceTree, noise } from "../support/trees.ts";

requireOrSkip("root", "loop");

describe("a live source", () => {
  it("names a file that is written while it is read, keeps its length, and ends with status 1", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      writeFileSync(join(source, "calm"), noise(100_000, 1));
      writeFileSync(join(source, "busy"), noise(48 * 1024 * 1024, 2));
      const script = "while :; do printf x >> busy; printf y | dd of=busy conv=notrunc status=none; done";
      const writer = spawn("bash", ["-c", script], { cwd: source, stdio: "ignore" });
      try {
        const archive = lab.path("a.tsfsa");
        const result = await expectStatus(1, ["savedir", "-A", "--json", "-j2", archive, source]);
        const warnings = jsonLines(result.stdout).filter((line) => line.type === "warning");
        expect(warnings.map((line) => [line["code"], jsonPath(line)])).toEqual([["ENTRY_CHANGED", "busy"]]);
        await expectStatus(0, ["verify", archive]);
        const listed = jsonLines((await expectStatus(0, ["list", "--json", archive])).stdout);
        expect(listed.find((line) => line["path"] === "busy")).toMatchObject({ flags: ["changed"] });
        const restored = lab.folder("restored");
        await tsfsa(["restdir", archive, restored]);
        expect(readFileSync(join(restored, "calm")).equals(noise(100_000, 1))).toBe(true);
        expect(statSync(join(restored, "busy")).size).toBeGreaterThanOrEqual(48 * 1024 * 1024);
      } finally {
        writer.kill("SIGKILL");
        await once(writer, "exit");
      }
    });
  });

  it("survives files that come and go, and names those that went", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      makeSourceTree(source, 800);
      mkdirSync(join(source, "churn"));
      const script =
        "n=0; while :; do n=$((n + 1)); : > churn/f$n; rm -f churn/f$((n - 5)); mkdir -p churn/d$n; rmdir churn/d$((n - 3)) 2>/dev/null; done";
      const writer = spawn("bash", ["-c", script], { cwd: source, stdio: "ignore" });
      try {
        const archive = lab.path("a.tsfsa");
        const result = await tsfsa(["savedir", "-A", "--json", archive, source]);
        expect([0, 1]).toContain(result.status);
        const warnings = jsonLines(result.stdout).filter((line) => line.type === "warning");
        for (const line of warnings) {
          // A directory that goes between its listing and its attributes may be told as either.
          expect(["ENTRY_VANISHED", "ENTRY_CHANGED", "ATTRIBUTE_LOST"]).toContain(line["code"]);
          expect(jsonPath(line)).toMatch(/^churn\b/);
        }
        expect(result.status).toBe(warnings.length > 0 ? 1 : 0);
        await expectStatus(0, ["verify", archive]);
      } finally {
        writer.kill("SIGKILL");
        await once(writer, "exit");
      }
    });
  });

  it("does not move access times", async () => {
    await withLab(async (lab) => {
      const source = await lab.tmpfs(16 * 1024 * 1024);
      const name = join(source, "file");
      writeFileSync(name, "content");
      for (const path of [name, source]) utimesSync(path, 1_000_000_000, 1_100_000_000);
      await expectStatus(0, ["savedir", "-A", lab.path("a.tsfsa"), source]);
      expect([name, source].map((path) => statSync(path).atimeMs)).toEqual([1e12, 1e12]);
    });
  });
});
