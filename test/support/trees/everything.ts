// The "everything" tree: every row of the fidelity table (docs/SAFETY.md) as real entries, for the file system it is made on.
// Made by root on a mounted image.

import { readFileSync } from "node:fs";
import {
  type DirectoryNode,
  type Metadata,
  type TreeNode,
  bytes,
  directory,
  file,
  link,
  noise,
  prose,
  sparse,
  symlink,
} from "./model.ts";

const KiB = 1024;
const MiB = 1024 * KiB;

export interface EverythingOptions {
  readonly filesystem: "ext2" | "ext3" | "ext4" | "xfs" | "btrfs";
  readonly blockSize?: number;
  /** Project ids can be set (xfs; ext4 with the project feature on a kernel with quota). */
  readonly projects?: boolean;
  /** xattr values over a block are possible (xfs; btrfs up to 16 KiB; ext4 with ea_inode). */
  readonly largeAttributes?: boolean;
  /** Only what every one of the file systems holds: for conversions from one to another. */
  readonly portable?: boolean;
  /** Depth of the path that is longer than PATH_MAX; 0 leaves it out (stock tools fail on it). */
  readonly deepLevels?: number;
  /** Times before 1970 and far in the future (GNU tar warns about them). */
  readonly oddTimes?: boolean;
}

export function everythingTree(options: EverythingOptions): DirectoryNode {
  const sections: Record<string, DirectoryNode> = {
    attributes: attributes(options),
    content: content(),
    empty: directory({}, { mode: 0o700, mtime: "1234567890.123456789" }),
    flags: flags(options),
    links: links(options),
    modes: modes(),
    names: names(),
    special: special(options),
    sparse: sparseFiles(options),
    times: times(options),
  };
  if (options.projects === true) sections["projects"] = projects();
  const deepLevels = options.deepLevels ?? 20;
  if (deepLevels > 0) sections["deep"] = deep(deepLevels);
  return directory(sections, {
    uid: 42,
    gid: 43,
    mode: 0o1755,
    mtime: "1000000000.000000001",
    atime: "1000000001.999999999",
    xattrs: [[bytes("user.root"), bytes("of the tree")]],
    acl: "u:77:rx",
  });
}

function names(): DirectoryNode {
  const list = [
    bytes("plain"),
    bytes("with space "),
    bytes("-leading-dash"),
    bytes("--option=value"),
    bytes("new\nline"),
    bytes("\r\t\x01\x1b[31m\x7f"),
    bytes("back\\slash"),
    bytes("*?[glob]{a,b}"),
    bytes("quote\"'`$(id)"),
    bytes("\xe9\xff\xfe not UTF-8"),
    Buffer.from("ünïcödé 日本語 \u202e"),
    bytes("..."),
    bytes("..a"),
    bytes("~"),
    bytes("#comment"),
    bytes("a=b%25"),
    Buffer.alloc(255, "n"),
    Buffer.alloc(255, 0xff),
    bytes("PaxHeaders"),
    bytes("a"),
    bytes("a-b"),
    bytes("a0"),
  ];
  const entries: [Uint8Array, TreeNode][] = list.map((name, index) => [
    name,
    index % 4 === 3
      ? directory({ inside: file(`in ${index}`) }, { mtime: `${1_400_000_000 + index}.5` })
      : file(`content ${index}\n`),
  ]);
  // A path between 100 and 255 bytes that ustar can split, and one of 300 that only PAX can hold.
  entries.push([
    bytes("p".repeat(120)),
    directory({ ["q".repeat(90)]: file("split"), ["r".repeat(200)]: file("long") }),
  ]);
  return { kind: "directory", entries, mtime: "1400000000.000000007" };
}

function modes(): DirectoryNode {
  const entries: Record<string, TreeNode> = {};
  for (const mode of [0o0, 0o400, 0o644, 0o777, 0o4755, 0o2755, 0o2644, 0o6711, 0o1644]) {
    entries[`file-${mode.toString(8)}`] = file("x", { mode });
    entries[`dir-${mode.toString(8)}`] = directory({ inner: file("y") }, { mode, mtime: "1111111111.111111111" });
  }
  entries["owned-setuid"] = file("x", { uid: 1000, gid: 1000, mode: 0o6755 });
  entries["big-ids"] = file("x", { uid: 4_294_967_294, gid: 4_294_967_294 });
  entries["octal-limit"] = file("x", { uid: 2_097_151, gid: 2_097_152 });
  entries["big-ids-dir"] = directory({}, { uid: 4_000_000_000, gid: 3_000_000_000 });
  entries["symlink-owned"] = symlink("nowhere", { uid: 1234, gid: 5678 });
  return directory(entries);
}

function times({ oddTimes = true }: EverythingOptions): DirectoryNode {
  const common = ["0.000000001", "1.999999999", "1234567890.000000000", "1700000000.100000000", "1700000000.123456789"];
  const odd = [
    "-0.000000001",
    "-1.500000000",
    "-2147483648.000000000",
    "-2147483647.999999999",
    "4294967295.5",
    "4294967296.000000001",
  ];
  const entries: Record<string, TreeNode> = {};
  for (const time of oddTimes ? [...common, ...odd] : common) {
    entries[`file ${time}`] = file("t", { mtime: time, atime: time });
    entries[`dir ${time}`] = directory({ inner: file("t") }, { mtime: time, atime: "1500000000.25" });
    entries[`link ${time}`] = symlink("target", { mtime: time, atime: "1500000000.000000003" });
  }
  entries["atime only"] = file("t", { mtime: "1600000000.5", atime: "1300000000.000000001" });
  return directory(entries, { mtime: "999999999.999999999", atime: "1" });
}

function attributes({ filesystem, blockSize = 4096, largeAttributes, portable }: EverythingOptions): DirectoryNode {
  const user: [Uint8Array, Uint8Array][] = [
    [bytes("user.empty"), bytes("")],
    [bytes("user.text"), bytes("value")],
    [bytes("user.binary"), Buffer.from([0, 255, 10, 61, 0])],
    [bytes("user.a=b"), bytes("=%\n")],
    [bytes("user.percent%25%3D"), bytes("%3D")],
    [bytes("user.new\nline"), bytes("x\n")],
    [bytes("user.space and ünï"), bytes("y")],
    [bytes("user.\xff\xfe"), bytes("z")],
  ];
  const trusted: [Uint8Array, Uint8Array][] = [
    [bytes("trusted.one"), bytes("1")],
    [bytes("trusted.overlay.opaque"), bytes("y")],
  ];
  // All of a file's attributes share one block on ext.
  const many = Array.from({ length: blockSize === 1024 ? 15 : 40 }, (_, index): [Uint8Array, Uint8Array] => [
    bytes(`user.many${index}`),
    bytes(`${index}`),
  ]);
  const entries: Record<string, TreeNode> = {
    user: file("u", { xattrs: user }),
    trusted: file("t", { xattrs: trusted }),
    security: file("s", { xattrs: [[bytes("security.custom"), bytes("label\0")]] }),
    many: file("m", { xattrs: many }),
    directory: directory({ child: file("no attributes") }, { xattrs: [...user.slice(0, 3), ...trusted] }),
    symlink: symlink("user", { xattrs: trusted }),
    fifo: { kind: "fifo", xattrs: trusted },
    socket: { kind: "socket", xattrs: trusted },
    device: { kind: "charDevice", major: 1, minor: 3, xattrs: trusted },
    capable: file("#!", { uid: 1000, gid: 1000, mode: 0o4755, capability: "cap_net_raw,cap_net_admin=ep" }),
    acl: file("a", { acl: "u:99:rwx,u:0:r,g:5:r,g:4294967290:x,m:rw", mode: 0o640 }),
    "acl-mask-narrower": file("a", { mode: 0o660, acl: "u:12:rwx,g::rwx,m:r" }),
    "acl-fifo": { kind: "fifo", acl: "u:99:rw" },
    "acl-dir": directory(
      { "without-acl": file("plain", { mode: 0o600 }), sub: directory({}, { mode: 0o711 }) },
      { acl: "u:99:rx" },
    ),
    "all-at-once": file("everything", {
      uid: 7,
      gid: 8,
      mode: 0o2750,
      acl: "g:99:rx",
      xattrs: [...user.slice(1, 3), ...trusted.slice(0, 1)],
      mtime: "1500000000.987654321",
    }),
  };
  // The children were made before the default ACL was set: they must not get one by inheritance in the restore.
  entries["default-acl-dir"] = directory(
    {
      "no-acl": file("plain", { mode: 0o604 }),
      "no-acl-dir": directory({ deeper: file("d") }, { mode: 0o705 }),
      fifo: { kind: "fifo" },
    },
    { acl: "d:u:98:rwx,d:g:97:r,u:3:x" },
  );
  const large = filesystem === "xfs" ? 64 * KiB : filesystem === "btrfs" ? 12 * KiB : 48 * KiB;
  if (largeAttributes === true && portable !== true) {
    entries["large"] = file("l", {
      xattrs: [
        [bytes("user.large"), noise(large, 5)],
        [bytes("user.small"), bytes("s")],
      ],
    });
  }
  return directory(entries, { mtime: "1450000000.000000001" });
}

/** chattr letters that the kernel takes for files and directories of each file system. */
const flagLetters: Readonly<Record<EverythingOptions["filesystem"], { file: string[]; directory: string[] }>> = {
  ext2: { file: ["a", "i", "A", "d", "S", "s", "u", "c", "t"], directory: ["a", "i", "A", "d", "S", "D", "T"] },
  ext3: { file: ["a", "i", "A", "d", "S", "j", "s", "u", "c", "t"], directory: ["a", "i", "A", "d", "S", "D", "T"] },
  ext4: {
    file: ["a", "i", "A", "d", "S", "j", "s", "u", "c", "t", "Ad", "Adi"],
    directory: ["a", "i", "A", "d", "S", "D", "T", "j", "DT"],
  },
  xfs: { file: ["a", "i", "A", "d", "S", "Ad", "Sai"], directory: ["a", "i", "A", "d", "S"] },
  btrfs: { file: ["a", "i", "A", "d", "S", "c", "m", "Ad"], directory: ["a", "i", "A", "d", "S", "D", "C", "c", "m"] },
};
const portableLetters = { file: ["a", "i", "A", "d", "S"], directory: ["a", "i", "A", "d", "S"] };

/** chattr +j takes CAP_SYS_RESOURCE, which root in a container may lack. */
function isPossible(flag: string): boolean {
  if (flag !== "j") return true;
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  return ((BigInt(`0x${effective}`) >> 24n) & 1n) === 1n;
}

function flags({ filesystem, portable }: EverythingOptions): DirectoryNode {
  const letters = portable === true ? portableLetters : flagLetters[filesystem];
  const entries: Record<string, TreeNode> = {};
  for (const flag of letters.file.filter(isPossible)) {
    entries[`file-${flag}`] = file(prose(5000, 3), {
      flags: flag,
      mtime: "1300000000.5",
      xattrs: [[bytes("user.under"), bytes(flag)]],
    });
  }
  for (const flag of letters.directory.filter(isPossible)) {
    entries[`dir-${flag}`] = directory(
      { inner: file("inside", { mode: 0o640 }), sub: directory({}) },
      { flags: flag, mtime: "1300000001.5" },
    );
  }
  const immutable = file("two names, immutable", { flags: "i" });
  entries["immutable-linked"] = directory({ one: immutable, two: link(immutable) });
  if (filesystem === "btrfs" && portable !== true) entries["nocow"] = { ...file(noise(70_000, 9)), earlyFlags: "C" };
  return directory(entries);
}

function projects(): DirectoryNode {
  return directory({
    one: file("p", { project: 1 }),
    large: file("p", { project: 4_294_967_294 }),
    tree: directory({ inherited: file("p"), other: file("p", { project: 9 }) }, { project: 77, flags: "P" }),
  });
}

function links(options: EverythingOptions): DirectoryNode {
  const { filesystem, blockSize = 4096, portable } = options;
  // A symlink's target must fit into one block less a byte; xfs stops at 1023.
  const longest = filesystem === "xfs" || portable === true || blockSize === 1024 ? 1023 : 4095;
  const shared = file(prose(20_000, 11), {
    mode: 0o640,
    mtime: "1222222222.222222222",
    xattrs: [[bytes("user.x"), bytes("shared")]],
  });
  const linkedSymlink = symlink("../elsewhere", { mtime: "1333333333.3" });
  const fifo: TreeNode = { kind: "fifo", mode: 0o622 };
  const device: TreeNode = { kind: "blockDevice", major: 259, minor: largestDevice(options).minor - 7 };
  const empty = file("");
  const socket: TreeNode = { kind: "socket" };
  return directory({
    "a-first": shared,
    "b-second": link(shared),
    sub: directory({ third: link(shared), "fifo-2": fifo, "empty-1": empty }, { mtime: "1200000000.1" }),
    "t-symlink": linkedSymlink,
    "u-symlink": link(linkedSymlink),
    "v-fifo": link(fifo),
    "w-device": device,
    "x-device": link(device),
    "y-empty": link(empty),
    "z-socket": socket,
    "zz-socket": link(socket),
    "long-target": symlink("t/".repeat(longest / 2).padEnd(longest, "x")),
    "middle-target": symlink("m".repeat(150)),
    absolute: symlink("/etc/passwd"),
    dangling: symlink("../../../../../../nowhere"),
    "odd-target": symlink(bytes("new\nline \xff\\")),
    self: symlink("self"),
  });
}

/** xfs takes majors of 9 bits and minors of 18, the others 12 and 20. */
function largestDevice({ filesystem, portable }: EverythingOptions): { major: number; minor: number } {
  const narrow = filesystem === "xfs" || portable === true;
  return narrow ? { major: 511, minor: 2 ** 18 - 1 } : { major: 4095, minor: 2 ** 20 - 1 };
}

function special(options: EverythingOptions): DirectoryNode {
  const owned: Metadata = { uid: 5, gid: 6, mode: 0o660, mtime: "1250000000.5" };
  return directory(
    {
      fifo: { kind: "fifo", ...owned },
      socket: { kind: "socket", ...owned },
      char: { kind: "charDevice", major: 1, minor: 3, ...owned },
      "char-large": { kind: "charDevice", ...largestDevice(options) },
      "char-zero": { kind: "charDevice", major: 0, minor: 0 },
      block: { kind: "blockDevice", major: 8, minor: 1, ...owned },
      "block-minor": { kind: "blockDevice", major: 259, minor: 65_537 },
      "sticky-dir": directory({ s: { kind: "socket" } }, { mode: 0o1777 }),
    },
    { mtime: "1250000001.5" },
  );
}

function content(): DirectoryNode {
  const entries: Record<string, TreeNode> = {
    empty: file(""),
    "one-byte": file("x"),
    zeros: file(Buffer.alloc(100_000)),
  };
  for (const size of [511, 512, 513, 4095, 4096, MiB - 1, MiB, MiB + 1, 4 * MiB - 1, 4 * MiB, 4 * MiB + 1]) {
    entries[`noise-${size}`] = file(noise(size, size));
  }
  entries["large"] = file(
    Buffer.concat([noise(3 * MiB, 1), prose(6 * MiB, 2), Buffer.alloc(2 * MiB), noise(6 * MiB + 12_345, 4)]),
  );
  for (let index = 0; index < 60; index++) entries[`small-${index}`] = file(prose(index * 97, index));
  return directory(entries);
}

/** Largest file size each file system can hold (in whole blocks), for the sparse giant. */
function giantSize({ filesystem, blockSize = 4096, portable }: EverythingOptions): number {
  const GiB = 1024 * MiB;
  if (filesystem === "ext2" || filesystem === "ext3") return blockSize === 1024 ? 15 * GiB : 1900 * GiB;
  if (portable === true || blockSize === 1024) return 1000 * GiB;
  return 8192 * GiB;
}

function sparseFiles(options: EverythingOptions): DirectoryNode {
  const { filesystem } = options;
  const unit = 64 * KiB;
  const block = noise(unit, 21);
  const manySegments = Array.from({ length: 1000 }, (_, index) => ({
    offset: index * 2 * unit,
    bytes: block.subarray(0, 4096),
  }));
  const giant = giantSize(options);
  const entries: Record<string, TreeNode> = {
    "all-hole": sparse(10 * MiB, []),
    "hole-of-one-byte-file": sparse(1, []),
    "head-hole": sparse(3 * MiB, [{ offset: 2 * MiB, bytes: noise(MiB, 22) }]),
    "tail-hole": sparse(5 * MiB + 123, [{ offset: 0, bytes: block }]),
    "odd-end": sparse(2 * MiB + 77, [{ offset: 2 * MiB, bytes: block.subarray(0, 77) }]),
    "real-zeros": file(Buffer.alloc(3 * MiB)),
    "zeros-then-hole": sparse(4 * MiB, [{ offset: 0, bytes: Buffer.alloc(MiB) }]),
    "many-segments": sparse(1000 * 2 * unit, manySegments),
    giant: sparse(giant, [
      { offset: 0, bytes: bytes("start") },
      { offset: giant / 2, bytes: block },
      { offset: giant - 5, bytes: bytes("ender") },
    ]),
    "large-with-hole": sparse(24 * MiB, [
      { offset: 0, bytes: noise(5 * MiB, 23) },
      { offset: 12 * MiB, bytes: noise(6 * MiB, 24) },
    ]),
  };
  // ext2 and ext3 map single blocks and know no unwritten ones.
  if (filesystem !== "ext2" && filesystem !== "ext3" && options.portable !== true) {
    entries["prealloc"] = {
      ...sparse(2 * MiB, [{ offset: 0, bytes: block }]),
      unwritten: [{ offset: MiB, length: 512 * KiB }],
    };
    entries["prealloc-beyond-end"] = { ...file(block), unwritten: [{ offset: MiB, length: MiB }] };
    entries["prealloc-empty"] = { ...file(""), unwritten: [{ offset: 0, length: 256 * KiB }] };
    entries["prealloc-odd"] = { ...sparse(803_053, []), unwritten: [{ offset: 0, length: 803_053 }] };
    entries["prealloc-whole"] = { ...sparse(MiB, []), unwritten: [{ offset: 0, length: MiB }] };
  }
  return directory(entries);
}

function deep(levels: number): DirectoryNode {
  let inner = directory(
    {
      bottom: file("at the bottom", {
        mode: 0o600,
        xattrs: [[bytes("user.deep"), bytes("down")]],
        mtime: "1100000000.000000001",
      }),
      link: symlink("bottom"),
    },
    { mtime: "1100000001.000000002" },
  );
  for (let level = levels; level > 0; level--) {
    inner = directory(
      { [`${level}-`.padEnd(250, "d")]: inner, [`beside-${level}`]: file(`level ${level}`) },
      { mtime: `${1_100_000_000 + level}.5` },
    );
  }
  return inner;
}

/** The options that fit one of the recipes of images.ts. */
export function everythingFor({
  type,
  name,
}: {
  readonly type: EverythingOptions["filesystem"];
  readonly name: string;
}): EverythingOptions {
  const smallBlocks = name.includes("1 KiB");
  return {
    filesystem: type,
    blockSize: smallBlocks || type === "ext2" || type === "ext3" ? 1024 : 4096,
    projects: type === "xfs",
    largeAttributes: type === "xfs" || type === "btrfs" || (type === "ext4" && !smallBlocks),
  };
}
