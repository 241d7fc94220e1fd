// saveimg and restimg: file systems of several geometries, empty, half full, full and fragmented. The judges are the checkers of the file systems,
// partclone's maps, and the bytes themselves.

import { spawnSync } from "node:child_process";
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, it } from "vitest";
import { expectStatus, jsonLines, pipe, tsfsa, tsfsaArgv } from "../support/cli.ts";
import { type FilesystemRecipe, type Lab, withLab } from "../support/images.ts";
import { partcloneMap } from "../support/partclone.ts";
import { flipped, recordsOf } from "../support/patch.ts";
import { requireOrSkip } from "../support/require.ts";
import { must, run, shell } from "../support/run.ts";

requireOrSkip("root", "loop");

const MiB = 1024 * 1024;

const geometries: readonly FilesystemRecipe[] = [
  { name: "ext2, 1 KiB blocks", type: "ext2", sizeBytes: 24 * MiB, mkfs: ["-b", "1024"] },
  { name: "ext4", type: "ext4", sizeBytes: 48 * MiB, mkfs: ["-b", "4096"] },
  { name: "ext4, bigalloc", type: "ext4", sizeBytes: 48 * MiB, mkfs: ["-O", "bigalloc", "-C", "16384"] },
  {
    name: "ext4, meta_bg, small groups",
    type: "ext4",
    sizeBytes: 32 * MiB,
    mkfs: ["-b", "1024", "-g", "2048", "-O", "meta_bg,^resize_inode"],
  },
  { name: "xfs", type: "xfs", sizeBytes: 320 * MiB, mkfs: [] },
  { name: "xfs, 1 KiB blocks, rmapbt", type: "xfs", sizeBytes: 320 * MiB, mkfs: ["-b", "size=1024", "-m", "rmapbt=1"] },
  { name: "btrfs, metadata twice", type: "btrfs", sizeBytes: 160 * MiB, mkfs: ["-m", "dup"] },
  {
    name: "btrfs, all once",
    type: "btrfs",
    sizeBytes: 160 * MiB,
    mkfs: ["-m", "single", "-d", "single", "--csum", "xxhash"],
  },
];

const fillings = ["empty", "half full", "full", "fragmented"] as const;
type Filling = (typeof fillings)[number];

/** Random, so that a block out of place shows. */
const noise = Buffer.alloc(MiB);
for (let i = 0, state = 1; i < noise.length; i += 4) {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  noise.writeUInt32LE(state, i);
}

/** Written and unmounted; what was deleted leaves old data in free blocks. */
async function imageOf(lab: Lab, recipe: FilesystemRecipe, filling: Filling): Promise<string> {
  const image = await lab.filesystem(recipe);
  if (filling === "empty") return image;
  const mount = await lab.mount(image);
  if (filling === "fragmented") {
    for (let i = 0; i < 600; i++) writeFileSync(join(mount, `f${i}`), noise.subarray(i, i + 6000));
    await must(["sync", "-f", mount]);
    await shell('for i in $(seq 0 2 598); do rm "$1/f$i"; done', [mount]);
  } else fillUp(mount, filling === "full" ? Number.POSITIVE_INFINITY : (0.4 * recipe.sizeBytes) / MiB);
  await lab.unmount(mount);
  return image;
}

/** Some data, and for the rest preallocated space: in use, too, but it costs neither time nor memory. */
function fillUp(folder: string, mebibytes: number): void {
  const data = openSync(join(folder, "data"), "w");
  for (let i = 0; i < 8; i++) writeSync(data, noise);
  for (let i = 0; i < (mebibytes - 8) / 4; i++) {
    const { status } = spawnSync("fallocate", ["-l", "4MiB", join(folder, `space${i}`)]);
    if (status === 0) continue;
    if (i === 0) writeAll(data, mebibytes - 8); // ext2 cannot
    break;
  }
  closeSync(data);
}

function writeAll(fd: number, mebibytes: number): void {
  try {
    for (let i = 0; i < mebibytes; i++) if (writeSync(fd, noise) < noise.length) return;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
  }
}

const checkers: Readonly<Record<string, readonly string[]>> = {
  ext2: ["e2fsck", "-fn"],
  ext4: ["e2fsck", "-fn"],
  xfs: ["xfs_repair", "-n"],
  btrfs: ["btrfs", "check", "--readonly", "--check-data-csum"],
};

async function expectSound(type: string, image: string): Promise<void> {
  await must([...(checkers[type] as readonly string[]), image]);
}

/** Every byte that partclone would copy is the same in both. It copies free space of btrfs (unit test of the maps), and knows no bigalloc. */
async function expectSameBlocks(lab: Lab, recipe: FilesystemRecipe, source: string, restored: string): Promise<void> {
  if (recipe.type === "btrfs" || recipe.name.includes("bigalloc")) return expectSameTree(lab, source, restored);
  const runs = await partcloneMap(recipe.type, source, lab.path("partclone.map"));
  const fds = [openSync(source, "r"), openSync(restored, "r")] as const;
  const buffers = [Buffer.alloc(MiB), Buffer.alloc(MiB)] as const;
  for (const [offset, length] of runs) {
    for (let done = 0; done < length; done += MiB) {
      const part = Math.min(MiB, length - done);
      for (const [i, fd] of fds.entries()) readSync(fd, buffers[i] as Buffer, 0, part, offset + done);
      if (!buffers[0].subarray(0, part).equals(buffers[1].subarray(0, part))) {
        throw new Error(`the images differ between ${offset + done} and ${offset + done + part}`);
      }
    }
  }
  for (const fd of fds) closeSync(fd);
}

/** Where partclone is no judge: every file, mounted. */
async function expectSameTree(lab: Lab, source: string, restored: string): Promise<void> {
  const lists: string[] = [];
  for (const image of [source, restored]) {
    // One after the other: two btrfs of one UUID are not mounted at a time.
    const mount = await lab.mount(image, { options: "ro" });
    const { stdout } = await shell('cd "$1" && find . -type f ! -name space* -print0 | sort -z | xargs -0r sha256sum', [
      mount,
    ]);
    lists.push(stdout.toString());
    await lab.unmount(mount);
  }
  expect(lists[1]).toBe(lists[0]);
}

/** First and last byte of the only range that is told to be lost. */
function lostRange(stderr: string): [number, number] {
  const [, first, last] = /what it held in bytes (\d+) to (\d+) is lost/.exec(stderr) ?? [];
  return [Number(first), Number(last)];
}

/** What was read by descriptors with O_DIRECT. */
function bytesPastCache(trace: string): number {
  const opened = new Set([...trace.matchAll(/O_DIRECT\S*\) = (\d+)/g)].map(([, fd]) => fd));
  const reads = [...trace.matchAll(/pread64\((\d+), .*\) = (\d+)$/gm)].filter(([, fd]) => opened.has(fd));
  return reads.reduce((sum, [, , bytes]) => sum + Number(bytes), 0);
}

describe("saveimg and restimg", () => {
  it.each(geometries)("bring back $name, whatever it holds", async (recipe) => {
    for (const filling of fillings) {
      await withLab(async (lab) => {
        const source = await imageOf(lab, recipe, filling);
        const archive = lab.path("a.tsfsa");
        await expectStatus(0, ["saveimg", "-z1", archive, source]);
        const proved = await expectStatus(0, ["verify", "--json", archive]);
        const restored = lab.path("restored.img");
        const made = await expectStatus(0, ["restimg", "--json", archive, `id=0,dest=${restored}`]);
        expect(jsonLines(made.stdout).at(-1)?.["bytes"]).toBe(jsonLines(proved.stdout).at(-1)?.["bytes"]);
        expect(lab.leftovers()).toEqual([]);
        expect(statSync(restored).size).toBe(statSync(source).size);
        await expectSameBlocks(lab, recipe, source, restored);
        await expectSound(recipe.type, restored);
      });
    }
  });

  it("read only what is used, and say so", async () => {
    await withLab(async (lab) => {
      const source = await imageOf(lab, geometries[1] as FilesystemRecipe, "fragmented");
      const used = lab.path("used.tsfsa");
      const raw = lab.path("raw.tsfsa");
      await expectStatus(0, ["saveimg", used, source]);
      await expectStatus(0, ["saveimg", "--raw", raw, source]);
      expect(statSync(raw).size).toBeGreaterThan(statSync(used).size);
      const info = (await expectStatus(0, ["archinfo", used])).stdout.toString();
      expect(info).toMatch(/image of ext4/);
      expect(info).toMatch(/blocks +those in use/);
      expect((await expectStatus(0, ["archinfo", raw])).stdout.toString()).toMatch(
        /blocks +all: all blocks were asked for/,
      );
      const back = lab.path("raw.img");
      await expectStatus(0, ["restimg", raw, `id=0,dest=${back}`]);
      await must(["cmp", source, back]);
    });
  });

  it("give a mountable image to zstd and tar", async () => {
    await withLab(async (lab) => {
      const recipe = geometries[1] as FilesystemRecipe;
      const source = await imageOf(lab, recipe, "half full");
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["saveimg", archive, source]);
      const folder = lab.folder("tar");
      const result = await shell('zstd -dcq "$1" | tar -xSf - -C "$2"', [archive, folder]);
      expect([result.status, result.stderr]).toEqual([0, ""]);
      const extracted = join(folder, basename(source));
      await expectSound("ext4", extracted);
      await expectSameBlocks(lab, recipe, source, extracted);
      expect(statSync(extracted).blocks).toBeLessThan(statSync(extracted).size / 512);
    });
  });

  it("go through a pipe, onto a device, over what it held, with and without discard", async () => {
    await withLab(async (lab) => {
      const recipe = geometries[1] as FilesystemRecipe;
      const source = await imageOf(lab, recipe, "half full");
      const old = await imageOf(lab, geometries[6] as FilesystemRecipe, "half full");
      const device = await lab.attach(old);
      for (const words of [
        ["--overwrite", "--yes"],
        ["--overwrite", "--yes", "--discard"],
      ]) {
        const { from, to } = await pipe(
          tsfsaArgv("saveimg", "-q", "-", source),
          tsfsaArgv("restimg", "-q", ...words, "-", `id=0,dest=${device}`),
        );
        expect([from.status, to.status], `${from.stderr}${to.stderr}`).toEqual([0, 0]);
        const { stdout } = await must(["blkid", "-p", "-s", "TYPE", "-o", "value", device]);
        expect(stdout.toString().trim()).toBe("ext4");
        await expectSound("ext4", device);
      }
      await lab.detach(device);
      await expectSameBlocks(lab, recipe, source, old);
    });
  });

  it("refuse what could lose or mix data, before anything is written", async () => {
    await withLab(async (lab) => {
      const recipe = geometries[1] as FilesystemRecipe;
      const source = await imageOf(lab, recipe, "half full");
      const archive = lab.path("a.tsfsa");
      const mount = await lab.mount(source);
      await expectStatus(3, ["saveimg", archive, source]);
      expect((await run(["test", "-e", archive])).status).toBe(1);
      await lab.unmount(mount);
      await expectStatus(0, ["saveimg", archive, source]);
      await expectStatus(64, ["saveimg", "--overwrite", source, source]);

      const small = await lab.attach(lab.image("small", recipe.sizeBytes - MiB));
      const refusal = await expectStatus(13, ["restimg", archive, `id=0,dest=${small}`]);
      expect(refusal.stderr).toContain(`${recipe.sizeBytes} bytes`);
      await expectStatus(12, ["restimg", archive, `id=0,dest=${source}`]);
      await expectStatus(64, ["restimg", archive, `id=0,dest=${source},mkfs=xfs`]);
      await expectStatus(64, ["restfs", archive, `id=0,dest=${source}`]);
      await expectStatus(0, ["restimg", "--overwrite", "--yes", archive, `id=0,dest=${source}`]);
      await expectSound("ext4", source);
      expect(lab.leftovers()).toEqual([]);
    });
  });

  it("read everything of what is not known, and of a journal that was not replayed", async () => {
    await withLab(async (lab) => {
      const unknown = lab.image("unknown", 5 * MiB + 512);
      const fd = openSync(unknown, "r+");
      writeSync(fd, noise, 0, 70_000, 3 * MiB + 7);
      ftruncateSync(fd, 5 * MiB + 512);
      closeSync(fd);
      const dirty = await lab.filesystem(geometries[1] as FilesystemRecipe);
      await must(["debugfs", "-w", "-R", "feature needs_recovery", dirty]);
      const archive = lab.path("a.tsfsa");
      const saved = await expectStatus(1, ["saveimg", archive, unknown, dirty]);
      expect(saved.stderr).toContain("its journal has not been replayed");
      const [first, second] = [lab.path("0.img"), lab.path("1.img")];
      await expectStatus(0, ["restimg", archive, `id=0,dest=${first}`, `id=1,dest=${second}`]);
      await must(["cmp", unknown, first]);
      await must(["cmp", dirty, second]);
    });
  });

  it("read a device past the page cache, whatever its size and its sectors", async () => {
    await withLab(async (lab) => {
      const odd = lab.image("odd", 5 * MiB + 512);
      const fd = openSync(odd, "r+");
      for (let i = 0; i < 5; i++) writeSync(fd, noise, 0, MiB, i * MiB);
      writeSync(fd, noise, 0, 512, 5 * MiB);
      closeSync(fd);
      // Blocks of 1 KiB are not aligned as sectors of 4 KiB are.
      const small = await imageOf(lab, geometries[0] as FilesystemRecipe, "fragmented");
      const large = await imageOf(lab, geometries[1] as FilesystemRecipe, "half full");
      for (const [image, sectorBytes, words, least] of [
        [odd, 512, ["--raw"], 4 * MiB],
        [small, 512, [], 0],
        [small, 4096, [], 0],
        [large, 4096, [], 8 * MiB],
        [large, 4096, ["--raw"], 16 * MiB],
      ] as const) {
        const device = await lab.attach(image, { readOnly: true, sectorBytes });
        const restored: string[] = [];
        const trace = lab.path("trace");
        for (const source of [image, device]) {
          const archive = lab.path("a.tsfsa");
          // A file for each thread: in one, calls that take long are torn in two.
          rmSync(trace, { recursive: true, force: true });
          mkdirSync(trace);
          const strace = ["strace", "-ff", "-qq", "-o", join(trace, "of"), "-e", "trace=openat,pread64"];
          await must([...strace, ...tsfsaArgv("saveimg", "-q", "-z1", ...words, archive, source)]);
          restored.push(lab.path("restored.img"));
          await expectStatus(0, ["restimg", "-q", archive, `id=0,dest=${restored.at(-1)}`]);
        }
        await must(["cmp", ...restored]);
        await lab.detach(device);
        const calls = readdirSync(trace).map((name) => readFileSync(join(trace, name), "latin1"));
        const direct = bytesPastCache(calls.join(""));
        expect(direct, `${image} ${sectorBytes} ${words.join(" ")}`).toBeGreaterThanOrEqual(least);
      }
    });
  });

  it("save the same bytes whatever the number of workers", async () => {
    await withLab(async (lab) => {
      const source = await imageOf(lab, geometries[4] as FilesystemRecipe, "fragmented");
      const archives = [lab.path("1.tsfsa"), lab.path("3.tsfsa")] as const;
      const env = { SOURCE_DATE_EPOCH: "1700000000" };
      await expectStatus(0, ["saveimg", "-j1", archives[0], source], { env });
      await expectStatus(0, ["saveimg", "-j3", archives[1], source], { env });
      await must(["cmp", ...archives]);
    });
  });

  it("keep what is whole of a damaged image, and say that it is not", async () => {
    await withLab(async (lab) => {
      const source = await imageOf(lab, geometries[1] as FilesystemRecipe, "half full");
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["saveimg", "--block-size", "1MiB", archive, source]);
      const whole = readFileSync(archive);
      const blocks = recordsOf(whole).filter(({ type }) => type === 2);
      // A record is made again.
      const [copy, mended] = [lab.path("copy.tsfsa"), lab.path("mended.img")];
      writeFileSync(copy, flipped(whole, blocks[3]?.offset ?? 0));
      expect((await expectStatus(10, ["restimg", copy, `id=0,dest=${mended}`])).stderr).toContain("made again");
      await must(["cmp", source, mended]);
      writeFileSync(archive, flipped(whole, (blocks[blocks.length >> 1]?.end ?? 0) + 1000));
      const restored = lab.path("restored.img");
      const result = await expectStatus(10, ["restimg", archive, `id=0,dest=${restored}`]);
      expect(result.stderr).toContain("1 damaged or missing block;");
      expect(statSync(restored).size).toBe(statSync(source).size);
      // The range that is named is what differs, and it holds zeros.
      const [first, last] = lostRange(result.stderr);
      expect(result.stderr).toContain("zeros stand there");
      const differing = (await run(["cmp", "-l", source, restored])).stdout.toString().trim().split("\n");
      expect(differing.length).toBeGreaterThan(MiB / 2);
      const places = differing.map((line) => line.trim().split(/\s+/));
      expect([Number(places[0]?.[0]) > first, Number(places.at(-1)?.[0]) <= last + 1]).toEqual([true, true]);
      expect(places.every(([, , byte]) => byte === "0")).toBe(true);
      for (const words of [["verify"], ["extract", "--image", "--to", lab.folder("to")]]) {
        const { stderr } = await expectStatus(10, [...words, archive, ...(words.length > 1 ? ["*.img"] : [])]);
        expect(lostRange(stderr)).toEqual([first, last]);
      }
      // A device keeps there what it held.
      const device = await lab.attach(lab.image("device", statSync(source).size));
      const kept = await expectStatus(10, ["restimg", "--yes", archive, `id=0,dest=${device}`]);
      expect(lostRange(kept.stderr)).toEqual([first, last]);
      expect(kept.stderr).toContain("there stands what the device held before");
      // A cut archive is refused before the device is touched, and salvage has the rest.
      const cut = lab.path("cut.tsfsa");
      await must(["cp", archive, cut]);
      truncateSync(cut, Math.floor(statSync(archive).size / 2));
      const refused = await expectStatus(10, ["restimg", "--yes", "-o", cut, `id=0,dest=${device}`]);
      expect(refused.stderr).toContain("tsfsa salvage --keep-damaged");
      expect(refused.stderr).not.toContain("restdir");
      expect((await expectStatus(10, ["verify", cut])).stderr).not.toContain("sockets");
    });
  });
});

describe("saveimg --snapshot", () => {
  const recipes: readonly FilesystemRecipe[] = [
    { name: "ext4", type: "ext4", sizeBytes: 48 * MiB, mkfs: ["-b", "4096"] },
    { name: "xfs", type: "xfs", sizeBytes: 320 * MiB, mkfs: [] },
    { name: "btrfs", type: "btrfs", sizeBytes: 160 * MiB, mkfs: [] },
  ];
  const cases = recipes.flatMap((recipe) => (["freeze", "remount-ro"] as const).map((method) => ({ recipe, method })));

  it.each(cases)("$method gives what $recipe.name held at the instant, and goes on", async ({ recipe, method }) => {
    await withLab(async (lab) => {
      const image = await lab.filesystem(recipe);
      const mount = await lab.mount(image);
      const device = (await must(["findmnt", "-no", "SOURCE", mount])).stdout.toString().trim();
      for (let i = 0; i < 100; i++) writeFileSync(join(mount, `f${i}`), noise.subarray(i, i + 6000));
      // Pages of the device as it was before: what is written to files does not change them.
      await must(["dd", `if=${device}`, "of=/dev/null", "bs=1M", "status=none"]);
      for (let i = 0; i < 100; i++) writeFileSync(join(mount, `g${i}`), noise.subarray(2 * i, 2 * i + 6000));
      const archive = lab.path("a.tsfsa");
      const saved = await tsfsa(["saveimg", "-q", `--snapshot=${method}`, archive, mount]);
      // A frozen xfs has a log to replay.
      expect([saved.status, saved.stderr.includes("its log has not been replayed")]).toEqual(
        recipe.type === "xfs" && method === "freeze" ? [1, true] : [0, false],
      );
      const before = (await shell('cd "$1" && sha256sum [fg]*', [mount])).stdout.toString();
      writeFileSync(join(mount, "after"), "writable again");
      await lab.unmount(mount);
      expect(lab.leftovers()).toEqual([]);
      const restored = lab.path("restored.img");
      await expectStatus(0, ["restimg", "-q", archive, `id=0,dest=${restored}`]);
      const copy = await lab.mount(restored);
      expect((await shell('cd "$1" && sha256sum [fg]*', [copy])).stdout.toString()).toBe(before);
      expect((await run(["test", "-e", join(copy, "after")])).status).toBe(1);
      await lab.unmount(copy);
      await expectSound(recipe.type, restored);
    });
  });

  it("reads what is not mounted as it is, and refuses subvolumes and archives on what stands still", async () => {
    await withLab(async (lab) => {
      const [ext4, , btrfs] = recipes as [FilesystemRecipe, FilesystemRecipe, FilesystemRecipe];
      const unmounted = await lab.filesystem(ext4);
      const other = await lab.filesystem(ext4);
      const mount = await lab.mount(other);
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["saveimg", "-q", "--snapshot=freeze", archive, unmounted, mount]);
      const info = (await expectStatus(0, ["archinfo", archive])).stdout.toString();
      expect(info).toContain("freeze");
      await expectStatus(15, ["saveimg", "--snapshot=freeze", join(mount, "a.tsfsa"), mount]);
      const subvolume = await lab.mount(await lab.filesystem(btrfs));
      const never = lab.path("never.tsfsa");
      const refused = await expectStatus(15, ["saveimg", "--snapshot", never, subvolume]);
      expect(refused.stderr).toContain("--snapshot=freeze");
      expect((await run(["test", "-e", never])).status).toBe(1);
    });
  });
});
