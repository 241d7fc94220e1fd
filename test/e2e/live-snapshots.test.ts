// savefs --snapshot on this kernel, under a writer: btrfs, freeze, remount-ro. The judge of test/support/load says whether the copy is of one instant;
// the live file system, saved as it is, is not. Volumes of device-mapper: test/vm.

import { closeSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { tsfsa } from "../support/cli.ts";
import { type FilesystemRecipe, type Lab, recipes, withLab } from "../support/images.ts";
import { judge } from "../support/load/judge.ts";
import { Load } from "../support/load/load.ts";
import { restored, saveUnderLoad } from "../support/load/save.ts";
import { loadWriter } from "../support/programs.ts";
import { requireOrSkip } from "../support/require.ts";
import { noise } from "../support/trees.ts";

requireOrSkip("root", "loop");

const figures: Record<string, unknown> = {};
afterAll(() => console.log(figures));

/** Mounted volumes with a writer on them, which is stopped before the lab is closed. */
async function withLoad(
  recipe: FilesystemRecipe,
  options: { readonly sync: boolean; readonly count?: number },
  body: (lab: Lab, volumes: readonly string[], load: Load) => Promise<void>,
): Promise<void> {
  await withLab(async (lab) => {
    const volumes: string[] = [];
    for (let index = 0; index < (options.count ?? 1); index += 1) {
      volumes.push(await lab.mount(await lab.filesystem({ ...recipe, mkfs: [] })));
    }
    const [first = ""] = volumes;
    mkdirSync(join(first, "m-bulk"));
    for (let file = 0; file < 60; file += 1) writeFileSync(join(first, "m-bulk", String(file)), noise(200_000, file));
    const load = await Load.start(loadWriter, {
      volumes,
      progress: lab.path("progress"),
      sync: options.sync,
      pauseMs: 1,
    });
    try {
      await body(lab, volumes, load);
    } finally {
      await load.stop();
    }
  });
}

describe("a live file system", () => {
  for (const type of ["ext4", "xfs"] as const) {
    it(`freeze: ${type} is of one instant, in the order of the calls, and thawed afterwards`, async () => {
      await withLoad(recipes[type], { sync: false }, async (lab, volumes, load) => {
        const save = await saveUnderLoad(load, volumes, ["--snapshot=freeze"], (name) => lab.path(name));
        figures[`freeze, ${type}`] = save.figures;
        expect(save.recorded.volumes[0]).toMatchObject({ method: "freeze", valid: true });
        expect(lab.leftovers()).toEqual([]);
      });
    });
  }

  it("freeze: two file systems are of one instant", async () => {
    await withLoad(recipes.ext4, { sync: false, count: 2 }, async (lab, volumes, load) => {
      const save = await saveUnderLoad(load, volumes, ["--snapshot=freeze"], (name) => lab.path(name));
      figures["freeze, two of ext4"] = save.figures;
      expect(save.recorded.oneInstant).toBe(true);
    });
  });

  it("btrfs: what was synced is there, in its order", async () => {
    await withLoad(recipes.btrfs, { sync: true }, async (lab, volumes, load) => {
      const save = await saveUnderLoad(load, volumes, ["--snapshot"], (name) => lab.path(name));
      figures["btrfs"] = save.figures;
      expect(save.recorded.volumes[0]).toMatchObject({ method: "btrfs", valid: true });
      expect(lab.leftovers()).toEqual([]);
    });
  });

  it("remount-ro: is refused while a file is open for writing, and gives one instant when none is", async () => {
    await withLoad(recipes.ext4, { sync: false }, async (lab, volumes, load) => {
      const [mounted = ""] = volumes;
      await load.stop();
      const archive = lab.path("archive");
      const held = openSync(join(mounted, "held"), "w");
      const refused = await tsfsa(["savefs", "--json", "--snapshot=remount-ro", archive, mounted]);
      expect(refused.stdout.toString()).toContain("SNAPSHOT_REFUSED");
      closeSync(held);
      const { status } = await tsfsa(["savefs", "--snapshot=remount-ro", archive, mounted]);
      expect(status).toBe(0);
      expect(judge(await restored(archive, 1, lab.path("copy"))).faults).toEqual([]);
      // Writable again.
      writeFileSync(join(mounted, "after"), "");
    });
  });

  it("saved with --allow-rw, is not of one instant", async () => {
    await withLoad(recipes.ext4, { sync: false }, async (lab, [mounted = ""]) => {
      const archive = lab.path("archive");
      const result = await tsfsa(["savefs", "--json", "--allow-rw", archive, mounted]);
      // Files came and went: they are named.
      expect(result.status).toBe(1);
      const { faults } = judge(await restored(archive, 1, lab.path("copy"), result.status));
      figures["negative control"] = {
        faults: faults.length,
        named: result.stdout.toString().split('"ENTRY_').length - 1,
      };
      expect(faults).not.toEqual([]);
    });
  });
});
