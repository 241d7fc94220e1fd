// restfs --plan: what it says is what a restore does, and it does nothing itself; then the question before a target is written.

import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { expectStatus, jsonLines, tsfsaArgv } from "../support/cli.ts";
import { type Lab, recipes, withLab } from "../support/images.ts";
import { compareFilesystems } from "../support/judges/filesystems.ts";
import { requireOrSkip } from "../support/require.ts";
import { must, run } from "../support/run.ts";

requireOrSkip("root", "loop");

/** 16 bytes: xfs has room for 12. */
const label = "'$(id)` \n1234567";

async function archived(lab: Lab): Promise<{ readonly source: string; readonly archive: string }> {
  const mkfs = ["-L", label, "-O", "^has_journal", "-m", "7"];
  const source = await lab.filesystem({ name: "ext4", type: "ext4", sizeBytes: 32 << 20, mkfs });
  const archive = lab.path("a.tsfsa");
  await expectStatus(0, ["savefs", archive, source]);
  return { source, archive };
}

describe("restfs --plan", () => {
  it("prints commands that make the same file system when a shell runs them, and writes nothing", async () => {
    await withLab(async (lab) => {
      const { source, archive } = await archived(lab);
      const target = lab.image("target", 32 << 20);
      const { stdout, stderr } = await expectStatus(0, ["restfs", "--plan", archive, `id=0,dest=${target}`]);
      expect(readFileSync(target).every((byte) => byte === 0)).toBe(true);
      expect(lab.leftovers()).toEqual([]);
      const lines = stdout.toString().split("\n");
      expect(lines[0]).toBe(`${target} (32 MiB) holds now: nothing (zeros)`);
      expect(lines[1]).toMatch(/^source 0 will be restored there as ext4 "'\$\(id\)` \\n1234567", UUID /);
      expect(stderr).toBe("dry run: nothing was written\n");
      const commands = lines.filter((line) => /^ {2}(mke2fs|tune2fs|debugfs) /.test(line));
      for (const command of commands) await must(["bash", "-c", command], { env: { MKE2FS_CONFIG: "/dev/null" } });
      expect(await compareFilesystems(source, target, "ext4")).toEqual([]);
    });
  });

  it("tells in JSON what is there, what will be, how, and what is lost", async () => {
    await withLab(async (lab) => {
      const { archive } = await archived(lab);
      const target = await lab.filesystem(recipes.btrfs);
      const words = ["restfs", "--plan", "--json", archive, `id=0,dest=${target},mkfs=xfs,uuid=new`];
      const [plan, summary] = jsonLines((await expectStatus(0, words)).stdout);
      expect(plan).toMatchObject({ type: "plan", source: 0, target, needsOverwrite: true, filesystem: "xfs" });
      expect(plan).toMatchObject({
        label: label.slice(0, 12),
        notKept: [expect.stringContaining("cut from 16 to 12")],
      });
      expect(plan?.["holds"]).toMatch(/^btrfs "butter" UUID /);
      expect(plan?.["commands"]).toEqual([expect.arrayContaining(["mkfs.xfs", "-L", label.slice(0, 12), target])]);
      expect(summary).toMatchObject({ type: "summary", status: 0 });
      expect(summary).not.toHaveProperty("plans");
      expect((await must(["blkid", "-p", "-o", "value", "-s", "TYPE", target])).stdout.toString()).toBe("btrfs\n");
    });
  });
});

describe("before a target is written", () => {
  it("the plan is shown and a terminal is asked, also where nothing is recognised", async () => {
    await withLab(async (lab) => {
      const { archive } = await archived(lab);
      const target = lab.image("target", 32 << 20);
      writeFileSync(target, Buffer.alloc(64, 1), { flag: "r+" });
      const argv = tsfsaArgv("restfs", "--overwrite", archive, `id=0,dest=${target}`);
      const answered = async (answer: string): Promise<{ readonly status: number; readonly said: string }> => {
        // script(1) gives it a terminal.
        const words = ["script", "-qec", argv.map((word) => `'${word}'`).join(" "), "/dev/null"];
        const { status, stdout } = await run(words, { input: answer });
        return { status, said: stdout.toString() };
      };
      const refused = await answered("n\n");
      expect(refused.said).toMatch(/holds now: data of an unknown kind[\s\S]* mke2fs [\s\S]*Go on\? \[y\/N\]/);
      expect(refused).toMatchObject({ status: 12, said: expect.stringContaining("nobody agreed") });
      expect((await run(["blkid", "-p", target])).status).toBe(2);
      expect((await answered("y\n")).status).toBe(0);
      expect((await must(["blkid", "-p", "-o", "value", "-s", "TYPE", target])).stdout.toString()).toBe("ext4\n");
    });
  });

  it("a script needs --overwrite and --yes where something is lost, known or not, neither where all is zeros", async () => {
    await withLab(async (lab) => {
      const { archive } = await archived(lab);
      const blank = lab.image("blank", 32 << 20);
      const { stderr } = await expectStatus(0, ["restfs", archive, `id=0,dest=${blank}`]);
      expect(stderr).toMatch(/holds now: nothing \(zeros\)\n/);
      await expectStatus(12, ["restfs", archive, `id=0,dest=${blank}`]);
      await expectStatus(12, ["restfs", "--yes", archive, `id=0,dest=${blank}`]);
      await expectStatus(12, ["restfs", "--overwrite", archive, `id=0,dest=${blank}`]);
      await expectStatus(0, ["restfs", "--overwrite", "--yes", archive, `id=0,dest=${blank}`]);
      const unknown = lab.image("unknown", 32 << 20);
      writeFileSync(unknown, Buffer.alloc(64, 1), { flag: "r+" });
      await expectStatus(12, ["restfs", archive, `id=0,dest=${unknown}`]);
      await expectStatus(12, ["restfs", "--overwrite", archive, `id=0,dest=${unknown}`]);
      await expectStatus(0, ["restfs", "--overwrite", "--yes", archive, `id=0,dest=${unknown}`]);
    });
  });

  it("what mkfs says is shown when it fails", async () => {
    await withLab(async (lab) => {
      const { archive } = await archived(lab);
      const target = lab.image("target", 32 << 20);
      const { stderr } = await expectStatus(2, ["restfs", archive, `id=0,dest=${target},mkfsopt=-O no_such_thing`]);
      expect(stderr).toMatch(/mke2fs ended with status 1: .*Invalid filesystem option set/s);
      expect(stderr).toMatch(/the command was: mke2fs /);
      expect(lab.leftovers()).toEqual([]);
    });
  });
});
