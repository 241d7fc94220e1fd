// What a machine is made of: the kernel and udev of two Debian packages, made into an uncompressed kernel, a folder of modules and an initial memory
// file system below build/vm. Nothing is installed and nothing downloaded here: missing() names what is not there.

import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const repository = fileURLToPath(new URL("../../../", import.meta.url));
const sources = join(repository, "test/vm/harness");
export const folder = join(repository, "build/vm");
export const artefacts = {
  kernel: join(folder, "machine/vmlinux"),
  modules: join(folder, "machine/modules"),
  initial: join(folder, "machine/initial.cpio"),
} as const;

/** Programs, and the Debian packages that have them: first those of the host, then those that scenarios use inside. */
const programs: Readonly<Record<string, string>> = {
  "qemu-system-x86_64": "qemu-system-x86",
  busybox: "busybox-static",
  cpio: "cpio",
  xz: "xz-utils",
  "dpkg-deb": "dpkg",
  lvm: "lvm2",
  dmsetup: "dmsetup",
  dmeventd: "dmeventd",
  thin_check: "thin-provisioning-tools",
  "mkfs.ext4": "e2fsprogs",
  "mkfs.xfs": "xfsprogs",
};

/** What reaches the files of the host, and the disks. */
const firstModules = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_blk"];
const laterModules = ["loop", "dm-mod", "dm-snapshot", "dm-thin-pool", "ext4", "xfs", "crc32c_generic", "crc32c-intel"];

/** What keeps machines from being made, in words of what to do; empty: nothing. */
export function missing(): string[] {
  const path = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`.split(delimiter);
  const packages = Object.entries(programs)
    .filter(([program]) => !path.some((place) => existsSync(join(place, program))))
    .map(([, name]) => name);
  const ways: string[] = [];
  if (process.geteuid?.() !== 0) ways.push("root (a machine reads the host's files as the user that starts it)");
  if (packages.length > 0) ways.push(`apt-get install ${packages.join(" ")}`);
  if (debianPackage("linux-image-") === undefined || debianPackage("udev_") === undefined) {
    ways.push(
      "cd build/vm && apt-get download udev $(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: //p' | head -n 1)",
    );
  }
  return ways;
}

/** Makes the artefacts where they are not of these packages and scripts. */
export function prepare(): void {
  const kernel = debianPackage("linux-image-") ?? "";
  const udev = debianPackage("udev_") ?? "";
  const inputs = createHash("sha256").update(`${kernel}\n${udev}\n`);
  for (const name of ["init.sh", "system.sh", "artefacts.ts"]) inputs.update(readFileSync(join(sources, name)));
  const stamp = inputs.digest("hex");
  const stampFile = join(dirname(artefacts.kernel), "inputs");
  if (existsSync(stampFile) && readFileSync(stampFile, "utf8") === stamp) return;
  const work = mkdtempSync(join(folder, "making-"));
  try {
    for (const [archive, place] of [
      [kernel, "kernel"],
      [udev, "udev"],
    ] as const) {
      execFileSync("dpkg-deb", ["-x", archive, join(work, place)]);
    }
    makeKernel(work);
    makeModules(work);
    makeInitial(work);
    writeFileSync(join(work, "machine/inputs"), stamp);
    rmSync(dirname(artefacts.kernel), { recursive: true, force: true });
    renameSync(join(work, "machine"), dirname(artefacts.kernel));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The newest package in build/vm whose file name begins so. */
function debianPackage(prefix: string): string | undefined {
  if (!existsSync(folder)) return undefined;
  const names = readdirSync(folder).filter((name) => name.startsWith(prefix) && name.endsWith(".deb"));
  return names
    .map((name) => join(folder, name))
    .toSorted((one, other) => statSync(one).mtimeMs - statSync(other).mtimeMs)
    .at(-1);
}

/** Unpacks the kernel out of its self-extracting image: under emulation that would take seconds of every boot. */
function makeKernel(work: string): void {
  const boot = join(work, "kernel/boot");
  const image = readFileSync(join(boot, readdirSync(boot).find((name) => name.startsWith("vmlinuz-")) ?? ""));
  const start = image.indexOf(Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]));
  if (start < 0) throw new Error("the kernel image holds no xz stream");
  const { stdout } = spawnSync("xz", ["-dc", "--single-stream"], {
    input: image.subarray(start),
    maxBuffer: 256 * 1024 * 1024,
  });
  if (stdout.readUInt32BE(0) !== 0x7f454c46) throw new Error("what the kernel image holds is not an ELF file");
  mkdirSync(join(work, "machine"));
  writeFileSync(join(work, "machine/vmlinux"), stdout);
}

/** Copies the modules wanted, with what they depend on. */
function makeModules(work: string): void {
  const [version = ""] = readdirSync(join(work, "kernel/lib/modules"));
  const from = join(work, "kernel/lib/modules", version);
  const to = join(work, "machine/modules/lib/modules", version);
  execFileSync("busybox", ["depmod", "-b", join(work, "kernel"), version]);
  const all = [...firstModules, ...laterModules];
  for (const path of loadOrder(from, all)) cpSync(join(from, path), join(to, path));
  for (const name of ["modules.builtin", "modules.builtin.modinfo", "modules.order"]) {
    cpSync(join(from, name), join(to, name));
  }
  execFileSync("busybox", ["depmod", "-b", join(work, "machine/modules"), version]);
}

/** Paths of modules below `from`, each after those it depends on. */
function loadOrder(from: string, names: readonly string[]): string[] {
  const dependencies = new Map(
    readFileSync(join(from, "modules.dep"), "utf8")
      .split("\n")
      .map((line) => line.split(":"))
      .map(([path = "", after = ""]) => [path, after.split(" ").filter((word) => word !== "")]),
  );
  const order = new Set<string>();
  const add = (path: string): void => {
    for (const before of dependencies.get(path) ?? []) if (!order.has(before)) add(before);
    order.add(path);
  };
  for (const name of names) {
    const plain = (path: string): string => basename(path, ".ko").replaceAll("-", "_");
    const path = [...dependencies.keys()].find((key) => plain(key) === plain(name));
    if (path === undefined) throw new Error(`the kernel package has no module ${name}`);
    add(path);
  }
  return [...order];
}

/** The initial memory file system: busybox, the first modules, udev's files, and the two scripts. */
function makeInitial(work: string): void {
  const root = join(work, "initial");
  const [version = ""] = readdirSync(join(work, "machine/modules/lib/modules"));
  const modules = join(work, "machine/modules/lib/modules", version);
  for (const name of ["bin", "lib", "dev", "proc", "sys"]) mkdirSync(join(root, name), { recursive: true });
  cpSync("/bin/busybox", join(root, "bin/busybox"));
  const order = loadOrder(modules, firstModules);
  for (const path of order) cpSync(join(modules, path), join(root, "lib", basename(path)));
  writeFileSync(join(root, "modules"), order.map((path) => `${basename(path)}\n`).join(""));
  cpSync(join(sources, "init.sh"), join(root, "init"));
  chmodSync(join(root, "init"), 0o755);
  cpSync(join(sources, "system.sh"), join(root, "system.sh"));
  layUdev(join(work, "udev"), join(root, "udev"));
  const names = readdirSync(root, { recursive: true, encoding: "utf8" });
  const archive = execFileSync("cpio", ["--create", "--format=newc", "--quiet"], {
    cwd: root,
    input: names.join("\n"),
    maxBuffer: 256 * 1024 * 1024,
  });
  writeFileSync(join(work, "machine/initial.cpio"), archive);
}

/** `/bin` and `/lib` of the package go below `/usr`: folders of these names would hide the host's symbolic links. */
function layUdev(from: string, to: string): void {
  for (const name of ["bin", "lib", "sbin"]) {
    const place = join(from, name);
    if (existsSync(place)) cpSync(place, join(to, "usr", name), { recursive: true, verbatimSymlinks: true });
  }
  cpSync(join(from, "usr"), join(to, "usr"), { recursive: true, verbatimSymlinks: true });
  cpSync(join(from, "etc/udev"), join(to, "etc/udev"), { recursive: true, verbatimSymlinks: true });
  for (const name of ["usr/lib/udev/hwdb.d", "usr/lib/systemd/system", "usr/lib/systemd/network", "usr/share"]) {
    rmSync(join(to, name), { recursive: true, force: true });
  }
}
