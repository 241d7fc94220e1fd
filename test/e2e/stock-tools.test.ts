// A rescue system without tsfsa: stock zstd, lz4, GNU tar and bsdtar read and restore the archive.

import { readFileSync, readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { expectStatus } from "../support/cli.ts";
import { type Lab, recipes, withLab } from "../support/images.ts";
import { expectSameTree } from "../support/judges.ts";
import { requireOrSkip } from "../support/require.ts";
import { must, run, shell } from "../support/run.ts";
import { buildTree, everythingFor, everythingTree } from "../support/trees.ts";
import type { WalkedEntry } from "../support/walk.ts";

requireOrSkip("root", "loop");

/** What tar cannot carry: it is in the catalog, and the README says so. */
const beyondTar = ["flags", "project", "atime", "unwritten"] as const;

describe("stock tools", () => {
  it.each(["ext4", "xfs"] as const)("restore everything tar can hold of %s, silently", async (type) => {
    await withLab(async (lab) => {
      const source = await plainImage(lab, type);
      for (const [level, decoder] of [
        ["-z3", "zstd"],
        ["-z0", "zstd"],
        ["-z1", "lz4"],
      ] as const) {
        const archive = lab.path(`a${level}.tsfsa`);
        await expectStatus(0, ["savefs", level, archive, source]);
        const target = await lab.filesystem(recipes[type]);
        const restored = await lab.mount(target);
        const command = `${decoder} -dc -- "$1" | tar -C "$2" -xpf - --xattrs --xattrs-include='*' --acls --numeric-owner`;
        const result = await shell(command, [archive, restored]);
        expect([result.status, result.stderr]).toEqual([0, ""]);
        const options = type === "xfs" ? "ro,nouuid" : "ro";
        await lab.unmount(restored);
        const mounted = [await lab.mount(source, { options }), await lab.mount(target, { options })];
        await expectSameTree(mounted[0] ?? "", mounted[1] ?? "", {
          skip: isSocket,
          // What tar writes front to back, xfs preallocates ahead: the map it leaves is its own.
          ignore: type === "xfs" ? [...beyondTar, "holes"] : beyondTar,
        });
        for (const mountpoint of mounted) await lab.unmount(mountpoint);
      }
    });
  });

  it("test and list archives of every codec without a word", async () => {
    await withLab(async (lab) => {
      const source = await plainImage(lab, "ext4");
      for (const level of ["-z0", "-z1", "-z3", "-Z9"]) {
        const archive = lab.path(`a${level}.tsfsa`);
        await expectStatus(0, ["savefs", level, archive, source]);
        const decoder = level === "-z1" ? "lz4" : "zstd";
        expect((await must([decoder, "-t", "-q", archive])).stderr).toBe("");
        const byTar = await must(["tar", ...(decoder === "lz4" ? ["-I", "lz4"] : ["--zstd"]), "-tf", archive]);
        expect(byTar.stderr).toBe("");
        const names = byTar.stdout.toString().trim().split("\n");
        expect(names[0]).toBe("./");
        // Auto-detection of the codec from the first bytes, whatever the name of the file.
        if (decoder === "zstd") expect((await must(["tar", "-tf", archive])).stdout.equals(byTar.stdout)).toBe(true);
        const byBsdtar = await run(["bsdtar", "-tf", archive], { env: { LC_ALL: "C.UTF-8" } });
        expect(byBsdtar.stdout.toString().trim().split("\n").length).toBe(names.length);
      }
    });
  });

  it("find their restore command in the archive itself and in archinfo", async () => {
    await withLab(async (lab) => {
      const folder = lab.folder();
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savedir", "-A", archive, folder]);
      const command = /zstd -dc .*\| tar -xpf - --xattrs --xattrs-include='\*' --acls --numeric-owner/;
      const { stdout } = await expectStatus(0, ["archinfo", archive]);
      expect(stdout.toString()).toMatch(command);
      expect((await must(["zstd", "-dcq", archive])).stdout.toString("latin1")).toMatch(command);
    });
  });

  it("keep several file systems apart under their numbers", async () => {
    await withLab(async (lab) => {
      const sources = [await plainImage(lab, "ext4"), await plainImage(lab, "xfs")];
      const archive = lab.path("two.tsfsa");
      await expectStatus(0, ["savefs", archive, ...sources]);
      const restored = lab.folder("restored");
      const script =
        'zstd -dc -- "$1" | tar -C "$2" -xf - --exclude="*/attributes" --exclude="*/special" --exclude="*/sparse"';
      const result = await shell(script, [archive, restored]);
      expect(result.status).toBe(0);
      expect(readdirSync(restored).toSorted()).toEqual(["0", "1"]);
      expect(readFileSync(`${restored}/1/content/one-byte`, "utf8")).toBe("x");
    });
  });
});

function isSocket(_: string, { stat }: WalkedEntry): boolean {
  return stat.isSocket();
}

/** A tree for which GNU tar has no reason to warn: no times before 1970 or in the future, no path over PATH_MAX. */
async function plainImage(lab: Lab, type: "ext4" | "xfs"): Promise<string> {
  const image = await lab.filesystem(recipes[type]);
  const mountpoint = await lab.mount(image);
  await buildTree(mountpoint, everythingTree({ ...everythingFor(recipes[type]), deepLevels: 0, oddTimes: false }));
  await lab.unmount(mountpoint);
  return image;
}
