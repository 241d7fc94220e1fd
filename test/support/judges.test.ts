// The judges are judged: byte-identical images must pass, copies by other tools must show exactly the losses those tools have, and
// every planted loss must be seen by the judge that is meant for it.

import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Lab, recipes, withLab } from "./images.ts";
import { compareTrees, expectSameTree } from "./judges.ts";
import { compareFilesystems, expectClean, expectSameFilesystem } from "./judges/filesystems.ts";
import { requireOrSkip } from "./require.ts";
import { must, shell } from "./run.ts";
import {
  type DirectoryNode,
  buildTree,
  bytes,
  directory,
  everythingFor,
  everythingTree,
  file,
  link,
  noise,
  sparse,
  symlink,
} from "./trees.ts";
import type { WalkedEntry } from "./walk.ts";

requireOrSkip("root", "loop");

const { ext4 } = recipes;

describe("the judges", () => {
  it.each(Object.values(recipes))(
    "are silent about a byte-identical image of $name with everything in it",
    async (recipe) => {
      await withLab(async (lab) => {
        const image = await lab.filesystem(recipe);
        const mountpoint = await lab.mount(image);
        await buildTree(mountpoint, everythingTree(everythingFor(recipe)));
        await lab.unmount(mountpoint);
        const copy = lab.path("copy.img");
        copyFileSync(image, copy);
        await expectClean(image, recipe.type);
        await expectSameFilesystem(image, copy, recipe.type);
        const options = recipe.type === "xfs" ? "ro,nouuid" : "ro";
        await expectSameTree(await lab.mount(image, { options }), await lab.mount(copy, { options }));
      });
    },
  );

  it("see what rsync loses, and nothing else", async () => {
    await withLab(async (lab) => {
      const [source, target] = await twoTrees(lab, everythingTree({ ...everythingFor(ext4), deepLevels: 0 }));
      // rsync would read terabytes of zeros.
      await must(["rm", join(source, "sparse/giant")]);
      await must(["rsync", "-aHAXS", "--numeric-ids", "--modify-window=-1", `${source}/`, `${target}/`]);
      await expectSameTree(source, target, { ignore: ["flags", "project", "atime", "holes", "unwritten"] });
      const seen = judgesOf(await compareTrees(source, target));
      expect(seen).toEqual(["holes", "lsattr", "mtree", "stat", "unwritten"]);
    });
  });

  it("see what GNU tar loses, and nothing else", async () => {
    await withLab(async (lab) => {
      const [source, target] = await twoTrees(lab, everythingTree({ ...everythingFor(ext4), deepLevels: 0 }));
      const script =
        'tar -C "$1" -cSf - --xattrs --acls --numeric-owner . | tar -C "$2" -xpf - --xattrs --xattrs-include="*" --acls --numeric-owner';
      await shell(script, [source, target]);
      await expectSameTree(source, target, {
        skip: isBeyondTar,
        ignore: ["flags", "project", "atime", "holes", "unwritten"],
      });
      expect(
        judgesOf(await compareTrees(source, target, { ignore: ["flags", "project", "atime", "holes", "unwritten"] })),
      ).toContain("names");
    });
  });

  const plantedLosses: readonly [loss: string, script: string, judge: string, filesystem?: "ext4" | "xfs"][] = [
    ["a modification time that is one nanosecond off", "touch -m -d @1500000000.123456788 plain", "stat"],
    ["a modification time cut to microseconds", "touch -m -d @1500000000.123456 plain", "rsync"],
    ["a directory's modification time", "touch -m -d @1 folder", "stat"],
    ["a symlink's modification time", "touch -h -m -d @1 symlink", "stat"],
    ["an access time", "touch -a -d @1 plain", "stat"],
    ["a lost owner", "chown 0:0 owned", "stat"],
    ["a lost setuid bit", "chmod 0755 owned", "mtree"],
    ["a missing attribute", "setfattr -x user.one plain", "getfattr"],
    ["an attribute with another value", "setfattr -n user.one -v 2 plain", "rsync"],
    ["a missing trusted attribute of a symlink", "setfattr -h -x trusted.link symlink", "getfattr"],
    ["a missing file capability", "setcap -r capable", "getfattr"],
    ["a changed ACL", "setfacl -m u:99:r plain", "getfacl"],
    ["a lost default ACL", "setfacl -k folder", "getfacl"],
    ["an ACL that was inherited by mistake", "setfacl -m u:98:rwx folder/inside", "rsync"],
    ["a lost inode flag", "chattr -d flagged", "lsattr"],
    ["another project id", "chattr -p 6 plain", "lsattr", "xfs"],
    [
      "a filled hole",
      "dd if=/dev/zero of=holes bs=4096 seek=10 count=1 conv=notrunc status=none; touch -d @1500000000 holes",
      "holes",
    ],
    ["zeros that became a hole", "fallocate -p -o 0 -l 65536 zeros; touch -d @1500000000 zeros", "holes"],
    [
      "lost preallocation",
      "fallocate -p -o 1048576 -l 65536 prealloc; truncate -s 4 prealloc; touch -d @1500000000 prealloc",
      "unwritten",
    ],
    ["a broken hard link", "cp -a first copy; mv copy second", "hard links"],
    ["a broken hard link of a fifo", "cp -a fifo1 copy; mv copy fifo2", "hard links"],
    ["another device number", "rm device; mknod device c 1 4; touch -d @1500000000 device", "mtree"],
    ["another kind of device", "rm device; mknod device b 1 3; touch -d @1500000000 device", "stat"],
    ["another symlink target", "rm symlink; ln -s elsewherE symlink; touch -h -d @1500000000 symlink", "readlink"],
    [
      "changed content of the same size and time",
      "printf X | dd of=plain conv=notrunc status=none; touch -d @1500000000.123456789 plain",
      "rsync",
    ],
    [
      "changed content in a huge sparse file",
      "printf X | dd of=huge bs=1 seek=1000000000 conv=notrunc status=none; touch -d @1500000000 huge",
      "sparse content",
    ],
    ["a missing file", "rm folder/inside; touch -d @1500000000 folder", "names"],
    ["an additional file", ": > folder/more; touch -d @1500000000 folder", "names"],
    ["a missing socket", "rm socket", "names"],
    [
      "a change at the bottom of a path longer than PATH_MAX",
      "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18; do cd -P deep; done; chmod 600 bottom",
      "stat",
    ],
  ];

  describe("see", () => {
    let lab: Lab;
    const mountpoints: Partial<Record<"ext4" | "xfs", string>> = {};
    afterAll(() => lab.close());

    beforeAll(async () => {
      lab = new Lab();
      for (const type of ["ext4", "xfs"] as const) {
        const mountpoint = await lab.mount(await lab.filesystem(recipes[type]));
        await must(["mkdir", join(mountpoint, "source"), join(mountpoint, "twin")]);
        for (const name of ["source", "twin"]) await buildTree(join(mountpoint, name), smallTree(type === "xfs"));
        await must(["sync", "-f", mountpoint]);
        mountpoints[type] = mountpoint;
      }
    });

    it.each(["ext4", "xfs"] as const)("no difference between two trees made alike on %s", async (type) => {
      const mountpoint = mountpoints[type] ?? "";
      await expectSameTree(join(mountpoint, "source"), join(mountpoint, "twin"));
    });

    it.each(plantedLosses)("%s", async (loss, script, judge, type = "ext4") => {
      const mountpoint = mountpoints[type] ?? "";
      const restored = join(mountpoint, loss);
      await must(["mkdir", restored]);
      await buildTree(restored, smallTree(type === "xfs"));
      await must(["bash", "-ec", script], { cwd: restored });
      await must(["sync", "-f", mountpoint]);
      expect(judgesOf(await compareTrees(join(mountpoint, "source"), restored))).toContain(judge);
    });
  });

  it("see another label, UUID, feature or size of a file system", async () => {
    await withLab(async (lab) => {
      const uuid = "6e1f3c2a-0b9d-4e57-8a44-112233445566";
      const image = await lab.filesystem({ ...ext4, mkfs: [...ext4.mkfs, "-U", uuid, "-E", `hash_seed=${uuid}`] });
      const other = await lab.filesystem({
        ...ext4,
        mkfs: ["-b", "4096", "-m", "1", "-L", "other", "-O", "^metadata_csum"],
      });
      const fields = (await compareFilesystems(image, other, "ext4")).join("\n");
      for (const field of [
        "blkid: LABEL",
        "blkid: UUID",
        "Filesystem features",
        "Reserved block count",
        "Directory Hash Seed",
      ]) {
        expect(fields).toContain(field);
      }
    });
  });
});

function smallTree(projects: boolean): DirectoryNode {
  const time = { mtime: "1500000000", atime: "1400000000" };
  const first = file("linked", time);
  const fifo = { kind: "fifo" as const, ...time };
  let deep = directory({ bottom: file("b", time) }, time);
  for (let level = 0; level < 17; level++) deep = directory({ deep }, time);
  return directory(
    {
      plain: file("plain", {
        ...time,
        mtime: "1500000000.123456789",
        xattrs: [[bytes("user.one"), bytes("1")]],
        acl: "u:99:rw",
        ...(projects ? { project: 5 } : {}),
      }),
      owned: file("o", { ...time, uid: 5, gid: 6, mode: 0o4755 }),
      capable: file("c", { ...time, capability: "cap_net_raw=ep" }),
      flagged: file("f", { ...time, flags: "d" }),
      folder: directory({ inside: file("i", time) }, { ...time, acl: "d:u:98:rwx" }),
      symlink: symlink("elsewhere", { ...time, xattrs: [[bytes("trusted.link"), bytes("l")]] }),
      holes: sparse(1_000_000, [{ offset: 0, bytes: noise(4096, 1) }], time),
      zeros: file(Buffer.alloc(65_536 * 2), time),
      huge: sparse(2 ** 40, [{ offset: 1_000_000_000, bytes: bytes("data") }], time),
      prealloc: { ...file("data", time), unwritten: [{ offset: 1_048_576, length: 65_536 }] },
      first,
      second: link(first),
      fifo1: fifo,
      fifo2: link(fifo),
      device: { kind: "charDevice", major: 1, minor: 3, ...time },
      socket: { kind: "socket", ...time },
      deep,
    },
    time,
  );
}

const linkedSpecials = /^links\/(sub\/fifo-2|v-fifo|[wx]-device)$/;

/** Sockets, and links of what is neither file nor symlink: tar makes objects of their own of them. */
function isBeyondTar(path: string, { stat }: WalkedEntry): boolean {
  return stat.isSocket() || linkedSpecials.test(path);
}

/** A tree in one ext4 image and an empty directory in another. */
async function twoTrees(lab: Lab, tree: DirectoryNode): Promise<[source: string, target: string]> {
  const source = await lab.mount(await lab.filesystem(ext4));
  await must(["rmdir", join(source, "lost+found")]);
  await buildTree(source, tree);
  const target = await lab.mount(await lab.filesystem(ext4));
  await must(["rmdir", join(target, "lost+found")]);
  await must(["sync"]);
  return [source, target];
}

/** The judges that spoke, sorted. */
function judgesOf(differences: readonly string[]): string[] {
  const names = [
    "hard links",
    "sparse content",
    "names",
    "stat",
    "readlink",
    "mtree",
    "getfattr",
    "getfacl",
    "lsattr",
    "holes",
    "unwritten",
    "rsync",
  ];
  return names
    .filter((name) => differences.some((line) => line.startsWith(`${name} `) || line.startsWith(`${name}:`)))
    .toSorted();
}
