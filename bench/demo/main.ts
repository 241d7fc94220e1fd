// `npm run demo`: the main job on a real file system, from making one to proving that its copy is the same.
// As root with loop devices an ext4 image is saved and restored; else a directory. Status 1 when anything differs.

import { mkdirSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { abortOnSignals, installed, quote, run, type Result } from "../process.ts";
import { canMountImages, Scratch } from "../scratch.ts";
import { compareTrees, readTree, type Tree } from "./compare.ts";
import { fillShowcase } from "./showcase.ts";

const MiB = 1024 * 1024;
const imageBytes = 256 * MiB;
const cli = fileURLToPath(new URL("../../../dist/cli/main.cjs", import.meta.url));
const { signal } = abortOnSignals();

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Runs a command in the work folder and shows it; any status but 0 ends the demo. */
async function show(scratch: Scratch, words: readonly string[], note: (result: Result) => string): Promise<Result> {
  const result = await run(words[0] === "tsfsa" ? [process.execPath, cli, ...words.slice(1)] : words, {
    cwd: scratch.path,
    signal,
  });
  say(`$ ${words.map(quote).join(" ")}`);
  say(`  ${note(result)}`);
  return result;
}

const seconds = (value: number) => `${value.toFixed(2)} s`;
const mebibytes = (bytes: number) => `${(bytes / MiB).toFixed(1)} MiB`;

async function demo(scratch: Scratch, images: boolean): Promise<number> {
  const name = images ? "ext4 file system in an image" : "directory";
  say(
    `tsfsa demo: save, verify, restore and compare a real ${name}   (work folder ${scratch.path}, removed at the end)\n`,
  );
  const source = images ? await makeImageSource(scratch) : await makeDirectorySource(scratch);
  say(`made the source: ${describe(source)}\n`);

  const save = images
    ? ["tsfsa", "savefs", "demo.tsfsa", "source.img"]
    : ["tsfsa", "savedir", "--allow-rw", "demo.tsfsa", "source"];
  await show(scratch, save, ({ wallSeconds }) => {
    const archiveBytes = statSync(scratch.join("demo.tsfsa")).size;
    return `${mebibytes(source.allocatedBytes)} of data in ${mebibytes(archiveBytes)}, ${seconds(wallSeconds)}`;
  });
  await show(
    scratch,
    ["tsfsa", "verify", "demo.tsfsa"],
    ({ wallSeconds }) => `every checksum, digest and index entry is right, ${seconds(wallSeconds)}`,
  );
  if (installed("zstd")) {
    await show(
      scratch,
      ["zstd", "-q", "-t", "demo.tsfsa"],
      ({ wallSeconds }) => `stock zstd agrees, ${seconds(wallSeconds)}`,
    );
  }
  await show(scratch, ["tsfsa", "list", "demo.tsfsa", "links", "times"], ({ stdout }) =>
    stdout
      .trimEnd()
      .split("\n")
      .map((row) => row.slice(0, 110))
      .join("\n  "),
  );
  const restored = images ? await restoreImage(scratch) : await restoreDirectory(scratch);

  const differences = compareTrees(source, restored);
  const facts = `content, type, mode, owner, size, times, links, devices, holes (${["lstat", "SHA-256", ...restored.judges].join(", ")})`;
  say(`\ncompared ${describe(restored)}\n  by ${facts}`);
  for (const difference of differences.slice(0, 20)) say(`  DIFFERENT ${difference}`);
  say(differences.length === 0 ? "  no difference" : `  ${differences.length} differences`);
  return differences.length === 0 ? 0 : 1;
}

function describe(tree: Tree): string {
  return `${tree.entries.size} entries, files of ${mebibytes(tree.contentBytes)} that occupy ${mebibytes(tree.allocatedBytes)}`;
}

async function makeImageSource(scratch: Scratch): Promise<Tree> {
  const image = await scratch.makeImage(
    "source.img",
    { sizeBytes: imageBytes, mkfsOptions: ["-b", "4096", "-L", "Bob's demo", "-m", "3"] },
    signal,
  );
  const mountPoint = await scratch.mount(image, "mnt", false);
  const leftOut = await fillShowcase(mountPoint, { privileged: true, ext4: true, signal });
  await scratch.unmount(mountPoint);
  sayLeftOut(leftOut);
  return await readImage(scratch, image);
}

async function makeDirectorySource(scratch: Scratch): Promise<Tree> {
  mkdirSync(scratch.join("source"));
  sayLeftOut(await fillShowcase(scratch.join("source"), { privileged: process.getuid?.() === 0, ext4: false, signal }));
  return await readTree(scratch.join("source"), { ignoreAccessTimes: true, signal });
}

function sayLeftOut(leftOut: readonly string[]): void {
  if (leftOut.length > 0) say(`left out: ${leftOut.join("; ")}`);
}

/** Restores to a second image, which e2fsck must find clean, and compares what identifies the file system. */
async function restoreImage(scratch: Scratch): Promise<Tree> {
  const image = scratch.join("restored.img");
  writeFileSync(image, "", { mode: 0o600 });
  truncateSync(image, imageBytes);
  await show(scratch, ["tsfsa", "restfs", "demo.tsfsa", "id=0,dest=restored.img"], ({ wallSeconds }) =>
    seconds(wallSeconds),
  );
  await show(scratch, ["e2fsck", "-fn", "restored.img"], ({ stdout }) => stdout.trimEnd().split("\n").at(-1) ?? "");
  const [was, is] = [await identityOf(scratch, "source.img"), await identityOf(scratch, "restored.img")];
  if (was !== is) throw new Error(`the file systems differ:\n${was}\nrestored:\n${is}`);
  say(`  the same label, UUID, features, block size, inode size and reserved blocks (dumpe2fs)`);
  return await readImage(scratch, image);
}

async function restoreDirectory(scratch: Scratch): Promise<Tree> {
  mkdirSync(scratch.join("restored"));
  await show(scratch, ["tsfsa", "restdir", "demo.tsfsa", "restored"], ({ wallSeconds }) => seconds(wallSeconds));
  return await readTree(scratch.join("restored"), { ignoreAccessTimes: true, signal });
}

async function readImage(scratch: Scratch, image: string): Promise<Tree> {
  const mountPoint = await scratch.mount(image, "mnt", true);
  try {
    return await readTree(mountPoint, { ignoreAccessTimes: false, signal });
  } finally {
    await scratch.unmount(mountPoint);
  }
}

async function identityOf(scratch: Scratch, image: string): Promise<string> {
  const { stdout } = await run(["dumpe2fs", "-h", image], { cwd: scratch.path, signal });
  const kept =
    /^(Filesystem volume name|Filesystem UUID|Filesystem features|Block size|Inode size|Reserved block count):/;
  return stdout
    .split("\n")
    .filter((line) => kept.test(line))
    .join("\n");
}

const scratch = Scratch.temporary("tsfsa-demo-");
try {
  process.exitCode = await demo(scratch, await canMountImages());
} catch (error) {
  process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
} finally {
  await scratch.release();
}
