// What can be wrong with a command line, a source, an archive, a target or the machine: each gives one clear sentence, the
// documented status (docs/ERRORS.md), and leaves nothing half-made.

import { chmodSync, chownSync, mkdirSync, readFileSync, readdirSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { expectStatus, tsfsa, tsfsaArgv } from "../support/cli.ts";
import { type Lab, recipes, withLab } from "../support/images.ts";
import { patchRecords } from "../support/patch.ts";
import { requireOrSkip } from "../support/require.ts";
import { type RunOptions, run, shell } from "../support/run.ts";
import { buildTree, directory, file, noise } from "../support/trees.ts";

requireOrSkip("root", "loop");

interface Case {
  readonly words: readonly string[];
  readonly options?: RunOptions;
  /** Folder that must hold the same names and bytes afterwards. */
  readonly kept?: string;
}

type Row = readonly [title: string, status: number, says: RegExp, prepare: (lab: Lab) => Case | Promise<Case>];

const usage: readonly Row[] = [
  ["an unknown option", 64, /--frobnicate/, () => ({ words: ["savefs", "--frobnicate", "a", "b"] })],
  ["an unknown command", 64, /frobnicate/, () => ({ words: ["frobnicate"] })],
  ["no source", 64, /source/, () => ({ words: ["savefs", "a.tsfsa"] })],
  ["a level out of range", 64, /-z.*0 to 9/, () => ({ words: ["savefs", "-z", "10", "a", "b"] })],
  ["no workers", 64, /-j/, () => ({ words: ["savefs", "-j", "0", "a", "b"] })],
  ["a broken pattern", 64, /\[/, () => ({ words: ["savefs", "-e", "[a", "a", "b"] })],
  ["a target without dest", 64, /dest/, () => ({ words: ["restfs", "a", "id=0"] })],
  ["a target without id", 64, /id/, () => ({ words: ["restfs", "a", "dest=/dev/null"] })],
  ["one id twice", 64, /id/, () => ({ words: ["restfs", "a", "id=0,dest=x", "id=0,dest=y"] })],
  ["an unknown key of a target", 64, /colour/, () => ({ words: ["restfs", "a", "id=0,dest=x,colour=red"] })],
];

const sources: readonly Row[] = [
  ["a source that is not there", 2, /nowhere/, (lab) => save(lab, ["savefs"], lab.path("nowhere"))],
  ["a directory that is not there", 2, /nowhere/, (lab) => save(lab, ["savedir", "-A"], lab.path("nowhere"))],
  ["an image of zeros", 4, /file system/, (lab) => save(lab, ["savefs"], lab.image("zeros", 8 << 20))],
  [
    "a text file as a file system",
    4,
    /file system/,
    (lab) => save(lab, ["savefs"], write(lab, "text", "no file system\n")),
  ],
  ["a file as a directory", 64, /directories/, (lab) => save(lab, ["savedir", "-A"], write(lab, "text", "text"))],
  [
    "an image cut short",
    4,
    /file system|superblock|short/,
    async (lab) => {
      const image = await lab.filesystem(recipes.ext4);
      truncateSync(image, 1500);
      return save(lab, ["savefs"], image);
    },
  ],
  [
    "an image the user may not read",
    2,
    /permi|EACCES/i,
    async (lab) => {
      const image = await lab.filesystem(recipes.ext2);
      chmodSync(image, 0o600);
      return { ...save(lab, ["savefs"], image), options: { uid: 1000 } };
    },
  ],
  [
    "savefs without the right to mount",
    2,
    /permi|EPERM|EACCES|root/i,
    async (lab) => {
      const image = await lab.filesystem(recipes.ext2);
      chmodSync(image, 0o644);
      return { ...save(lab, ["savefs"], image), options: { uid: 1000 } };
    },
  ],
];

const archives: readonly Row[] = [
  ["an archive that is not there", 7, /nowhere/, (lab) => ({ words: ["verify", lab.path("nowhere")] })],
  ["an archive to list that is not there", 7, /nowhere/, (lab) => ({ words: ["list", lab.path("nowhere")] })],
  [
    "a text file as archive",
    8,
    /expected a tsfsa archive/,
    (lab) => ({ words: ["list", write(lab, "text", "hello\n".repeat(1000))] }),
  ],
  ["an empty file as archive", 8, /archive/, (lab) => ({ words: ["archinfo", write(lab, "empty", "")] })],
  [
    "a tar.zst of someone else as archive",
    8,
    /expected a tsfsa archive/,
    async (lab) => {
      const path = lab.path("other.tar.zst");
      await shell('tar -C "$1" -cf - . | zstd -q -o "$2"', [lab.folder(), path]);
      return restoring(lab, path);
    },
  ],
  [
    "an archive that exists",
    6,
    /exists/,
    async (lab) => {
      const out = lab.folder("out");
      const archive = join(out, "a.tsfsa");
      writeFileSync(archive, "precious");
      return { words: ["savedir", "-A", archive, lab.folder()], kept: out };
    },
  ],
  [
    "an archive in place of its own source",
    64,
    /is a source/,
    async (lab) => {
      const image = await lab.filesystem(recipes.ext2);
      return { words: ["savefs", "-o", image, image], kept: dirname(image) };
    },
  ],
  [
    "an archive in place of the image below a loop device",
    64,
    /is a source/,
    async (lab) => {
      const image = await lab.filesystem(recipes.ext2);
      return { words: ["savefs", "-o", image, await lab.attach(image)], kept: dirname(image) };
    },
  ],
  [
    "an archive in place of the image below a mount",
    64,
    /is attached/,
    async (lab) => {
      const image = await lab.filesystem(recipes.ext2);
      const mountpoint = await lab.mount(await lab.attach(image), { options: "ro" });
      return { words: ["savefs", "-o", image, mountpoint] };
    },
  ],
  [
    "salvage in place of the damaged archive",
    64,
    /is a source/,
    async (lab) => {
      const archive = await smallArchive(lab);
      truncateSync(archive, readFileSync(archive).length - 70);
      return { words: ["salvage", "-o", "--out", archive, archive] };
    },
  ],
  [
    "salvage of the first bytes of a block",
    10,
    /nothing of use is left/,
    async (lab) => {
      const archive = await smallArchive(lab);
      truncateSync(archive, 4096);
      return { words: ["salvage", "--to", lab.path("rescued"), archive] };
    },
  ],
  [
    "an archive of a newer version",
    9,
    /newer|version/,
    async (lab) => {
      const archive = await smallArchive(lab);
      patchRecords(archive, 1, '"format":2,"oldestReader":2', '"format":3,"oldestReader":3');
      return restoring(lab, archive);
    },
  ],
  [
    "an archive without its end",
    10,
    /end|trunc|cut|damag/i,
    async (lab) => {
      const archive = await smallArchive(lab);
      truncateSync(archive, readFileSync(archive).length - 70);
      return { words: ["verify", archive] };
    },
  ],
  [
    "an archive with a flipped byte",
    10,
    /damag|checksum|digest/i,
    async (lab) => {
      const archive = await smallArchive(lab);
      const content = readFileSync(archive);
      const middle = content.length >> 1;
      content[middle] = (content[middle] ?? 0) ^ 1;
      writeFileSync(archive, content);
      return { words: ["verify", archive] };
    },
  ],
  [
    "an archive in a folder that is not there",
    2,
    /nowhere/,
    (lab) => ({ words: ["savedir", "-A", join(lab.path("nowhere"), "a.tsfsa"), lab.folder()] }),
  ],
];

const targets: readonly Row[] = [
  [
    "a target that is too small",
    13,
    /expected at least|small/,
    async (lab) => {
      const archive = await filesystemArchive(lab, noise(20 << 20, 4));
      const out = lab.folder("out");
      writeFileSync(join(out, "t.img"), noise(9 << 20, 5));
      return { words: ["restfs", archive, `id=0,dest=${join(out, "t.img")}`], kept: out };
    },
  ],
  [
    "an archive restored onto itself",
    12,
    /is the archive/,
    async (lab) => {
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["saveimg", archive, await lab.filesystem(recipes.ext2)]);
      return { words: ["restimg", "-o", "--yes", archive, `id=0,dest=${archive}`], kept: dirname(archive) };
    },
  ],
  [
    "a target that is mounted",
    12,
    /mounted/,
    async (lab) => {
      const device = await lab.attach(await lab.filesystem(recipes.ext4));
      await lab.mount(device);
      return { words: ["restfs", "--overwrite", "--yes", await filesystemArchive(lab), `id=0,dest=${device}`] };
    },
  ],
  [
    "a target image behind a loop device",
    12,
    /loop/,
    async (lab) => {
      const image = lab.image("target", recipes.ext4.sizeBytes);
      await lab.attach(image);
      return { words: ["restfs", await filesystemArchive(lab), `id=0,dest=${image}`] };
    },
  ],
  [
    "a target that holds a file system",
    12,
    /holds ext4/,
    async (lab) => {
      const image = await lab.filesystem(recipes.ext4);
      return { words: ["restfs", await filesystemArchive(lab), `id=0,dest=${image}`] };
    },
  ],
  [
    "a target that is not there",
    12,
    /truncate/,
    async (lab) => ({ words: ["restfs", await filesystemArchive(lab), `id=0,dest=${lab.path("nowhere.img")}`] }),
  ],
  [
    "a destination in a folder that is not there",
    12,
    /no such folder/,
    async (lab) => ({ words: ["restdir", await smallArchive(lab), lab.path("nowhere/deep")] }),
  ],
  [
    "an id the archive does not have",
    64,
    /id/,
    async (lab) => ({ words: ["restfs", await filesystemArchive(lab), `id=7,dest=${lab.image("t", 200 << 20)}`] }),
  ],
  [
    "restfs of an archive of directories",
    64,
    /director|restdir/,
    async (lab) => ({ words: ["restfs", await smallArchive(lab), `id=0,dest=${lab.image("t", 200 << 20)}`] }),
  ],
  [
    "a file system that nobody makes",
    64,
    /ext2.*ext3.*ext4/,
    async (lab) => ({
      words: ["restfs", await filesystemArchive(lab), `id=0,dest=${lab.image("t", 200 << 20)},mkfs=zfs`],
    }),
  ],
  [
    "a destination that is a file",
    12,
    /directory/,
    async (lab) => ({ words: ["restdir", await smallArchive(lab), write(lab, "file", "text")] }),
  ],
];

describe.each([
  ["the command line", usage],
  ["a source", sources],
  ["an archive", archives],
  ["a target", targets],
])("a fault of %s", (_, rows) => {
  it.each(rows)("%s: status %i", async (_title, status, says, prepare) => {
    await withLab(async (lab) => {
      const { words, options, kept } = await prepare(lab);
      const before = kept === undefined ? undefined : contentOf(kept);
      const result = await expectStatus(status, words, options);
      expectOneSentence(result.stderr, says);
      if (kept !== undefined) expect(contentOf(kept)).toEqual(before);
      expect(lab.leftovers()).toEqual([]);
    });
  });
});

describe("a standard output that is closed", () => {
  it("is no place for an archive", async () => {
    await withLab(async (lab) => {
      const argv = tsfsaArgv("savedir", "-A", "-", lab.folder());
      const result = await run(["sh", "-c", 'exec "$@" >&-', "sh", ...argv]);
      expect(result.status, result.stderr).toBe(64);
      expectOneSentence(result.stderr, /standard output closed/);
    });
  });
});

describe("an argument that is not UTF-8", () => {
  it("is refused, and does not name another file", async () => {
    await withLab(async (lab) => {
      const argv = tsfsaArgv("savedir", "-A");
      const out = lab.folder("out");
      const result = await run([
        "bash",
        "-c",
        'exec "${@:3}" "$1"/$\'\\xff\' "$2"',
        "bash",
        out,
        lab.folder(),
        ...argv,
      ]);
      expect(result.status, result.stderr).toBe(64);
      expectOneSentence(result.stderr, /is not UTF-8/);
      expect(readdirSync(out)).toEqual([]);
    });
  });
});

describe("a missing tool", () => {
  it("is named before the target is touched, with the package it is in", async () => {
    await withLab(async (lab) => {
      const archive = await filesystemArchive(lab);
      const target = join(lab.folder("out"), "t.img");
      writeFileSync(target, noise(1 << 20, 5));
      truncateSync(target, recipes.xfs.sizeBytes);
      // In a mount namespace of its own, /usr/sbin is shown without the tool.
      const overlay = await lab.tmpfs(1 << 20);
      const script = `
        mkdir "$1/upper" "$1/work"
        mount -t overlay -o "lowerdir=/usr/sbin,upperdir=$1/upper,workdir=$1/work" overlay /usr/sbin
        rm /usr/sbin/mkfs.xfs
        shift
        exec "$@"`;
      const argv = tsfsaArgv("restfs", "--overwrite", archive, `id=0,dest=${target},mkfs=xfs`);
      const result = await run(["unshare", "--mount", "bash", "-ec", script, "bash", overlay, ...argv]);
      expect(result.status, result.stderr).toBe(2);
      expectOneSentence(result.stderr, /mkfs\.xfs[\s\S]*xfsprogs/);
      expect(
        readFileSync(target)
          .subarray(0, 1 << 20)
          .equals(noise(1 << 20, 5)),
      ).toBe(true);
      expect(lab.leftovers()).toEqual([]);
    });
  });
});

describe("a full disk", () => {
  it("stops a save with status 2 and leaves no part of the archive", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      await buildTree(source, directory({ large: file(noise(6 << 20, 1)) }));
      const small = await lab.tmpfs(2 << 20);
      const result = await expectStatus(2, ["savedir", "-A", join(small, "a.tsfsa"), source]);
      expectOneSentence(result.stderr, /space/i);
      expect(readdirSync(small)).toEqual([]);
      expect(lab.leftovers()).toEqual([]);
    });
  });

  it("keeps the old archive when a new one does not fit", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      await buildTree(source, directory({ large: file(noise(3 << 20, 1)) }));
      const small = await lab.tmpfs(5 << 20);
      const archive = join(small, "a.tsfsa");
      await expectStatus(0, ["savedir", "-A", archive, source]);
      const before = readFileSync(archive);
      await expectStatus(2, ["savedir", "-A", "-o", archive, source]);
      expect(readFileSync(archive).equals(before)).toBe(true);
      expect(readdirSync(small)).toEqual(["a.tsfsa"]);
    });
  });

  it("stops a restore with status 2, and what is restored is named as such", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      await buildTree(source, directory({ "a-small": file("s"), "b-large": file(noise(3 << 20, 1)) }));
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savedir", "-A", archive, source]);
      const small = await lab.tmpfs(2 << 20);
      const result = await tsfsa(["restdir", archive, small]);
      expect(result.status).toBe(2);
      expect(result.stderr).toMatch(/^tsfsa: b-large: .*space/m);
      expect(result.stderr).toMatch(/stopped half-way: what it made so far is there/);
    });
  });
});

/** One line `tsfsa: …` that says what the test expects, ways forward below it, and nothing of our inside. */
function expectOneSentence(stderr: string, says: RegExp): void {
  const lines = stderr.trimEnd().split("\n");
  const errors = lines.filter((line) => line.startsWith("tsfsa: "));
  expect(errors.length, stderr).toBe(1);
  expect(stderr).toMatch(says);
  expect(stderr).not.toMatch(/^\s+at |defect|undefined|\[object|Error:/m);
}

function save(lab: Lab, command: readonly string[], source: string): Case & { kept: string } {
  const out = lab.folder("out");
  chownSync(out, 1000, 1000);
  return { words: [...command, join(out, "a.tsfsa"), source], kept: out };
}

function restoring(lab: Lab, archive: string): Case {
  const destination = lab.folder("destination");
  return { words: ["restdir", archive, destination], kept: destination };
}

function write(lab: Lab, name: string, content: string): string {
  const path = lab.path(name);
  writeFileSync(path, content);
  return path;
}

async function smallArchive(lab: Lab): Promise<string> {
  const source = lab.folder("source");
  mkdirSync(join(source, "folder"));
  writeFileSync(join(source, "folder", "file"), noise(100_000, 3));
  const archive = lab.path("small.tsfsa");
  await expectStatus(0, ["savedir", "-A", archive, source]);
  return archive;
}

async function filesystemArchive(lab: Lab, content?: Uint8Array): Promise<string> {
  const archive = lab.path("fs.tsfsa");
  const image = await lab.filesystem(recipes.ext4);
  if (content !== undefined) {
    const mountpoint = await lab.mount(image);
    writeFileSync(join(mountpoint, "content"), content);
    await lab.unmount(mountpoint);
  }
  await expectStatus(0, ["savefs", archive, image]);
  return archive;
}

function contentOf(folder: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(folder).map((name) => [name, readFileSync(join(folder, name)).toString("base64")]),
  );
}
