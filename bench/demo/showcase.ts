// The tree the demo saves: what backups commonly lose, each in a folder that says so. What needs root, or a tool that
// is not installed, is left out and named.

import {
  chmodSync,
  chownSync,
  closeSync,
  ftruncateSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { noiseStream, Random } from "../data/random.ts";
import { SourceText } from "../data/text.ts";
import { installed, run } from "../process.ts";

const KiB = 1024;
const MiB = 1024 * KiB;

export interface ShowcaseOptions {
  /** Root: owners, devices, all namespaces of attributes. */
  readonly privileged: boolean;
  /** The file system is ext4 and ours: inode flags, preallocation. */
  readonly ext4: boolean;
  readonly signal: AbortSignal;
}

/** Fills an empty directory; gives what had to be left out. */
export async function fillShowcase(root: string, options: ShowcaseOptions): Promise<readonly string[]> {
  const leftOut: string[] = [];
  const folder = (name: string) => {
    const path = join(root, name);
    mkdirSync(path);
    return path;
  };
  const tool = async (...argv: string[]) => {
    if (installed(argv[0] ?? "")) await run(argv, { signal: options.signal });
    else if (!leftOut.includes(`${argv[0]} is not installed`)) leftOut.push(`${argv[0]} is not installed`);
  };
  fillSources(folder("source"), options.signal);
  writeFileSync(join(folder("noise"), "noise.bin"), noiseStream(12)(16 * MiB));
  fillHoles(folder("holes"));
  fillNames(folder("names"));
  await fillLinks(folder("links"));
  await fillTimes(folder("times"), options.signal);
  await fillAttributes(folder("attributes"), options.privileged, tool);
  if (options.privileged) {
    fillOwners(folder("owners"));
    await fillDevices(folder("devices"), options.signal);
  } else leftOut.push("owners and devices need root");
  if (options.ext4) {
    const flags = folder("flags");
    for (const flag of ["i", "a", "A", "d"]) {
      writeFileSync(join(flags, `chattr-${flag}`), `chattr +${flag}\n`);
      await tool("chattr", `+${flag}`, join(flags, `chattr-${flag}`));
    }
    await tool("fallocate", "-l", String(MiB), join(root, "holes", "preallocated"));
  } else leftOut.push("inode flags need root and an ext4 image");
  return leftOut;
}

function fillSources(folder: string, signal: AbortSignal): void {
  const random = new Random(10);
  const text = new SourceText(11);
  for (let directory = 0; directory < 60; directory++) {
    signal.throwIfAborted();
    mkdirSync(join(folder, `part-${directory}`));
    for (let file = 0; file < 40; file++) {
      const length = Math.min(MiB, Math.floor(random.logNormal(6000, 1.3)));
      writeFileSync(join(folder, `part-${directory}`, `file-${file}.c`), text.take(length));
    }
  }
}

function fillHoles(folder: string): void {
  const file = openSync(join(folder, "sparse-512MiB"), "wx", 0o644);
  for (let offset = 0; offset < 512 * MiB; offset += 64 * MiB) {
    writeSync(file, Buffer.alloc(64 * KiB, "data "), 0, 64 * KiB, offset + 8 * MiB);
  }
  ftruncateSync(file, 512 * MiB);
  closeSync(file);
  writeFileSync(join(folder, "real-zeros"), Buffer.alloc(256 * KiB));
  writeFileSync(join(folder, "empty"), "");
}

function fillNames(folder: string): void {
  const names = [
    "new\nline",
    "escape \x1b[31m red",
    "-rf",
    "back\\slash",
    " blanks ",
    "*?[",
    "\u00fcml\u00e4ut",
    "n".repeat(255),
  ];
  for (const name of names) writeFileSync(join(folder, name), name);
  const notUtf8 = Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0x66, 0xe9, 0xff, 0x01])]);
  writeFileSync(notUtf8, "a name that is not UTF-8");
}

async function fillLinks(folder: string): Promise<void> {
  writeFileSync(join(folder, "one"), "three names, one file\n");
  linkSync(join(folder, "one"), join(folder, "two"));
  linkSync(join(folder, "one"), join(folder, "..", "names", "three"));
  symlinkSync("/nowhere/at all\n", join(folder, "dangling"));
  linkSync(join(folder, "dangling"), join(folder, "dangling-again"));
  symlinkSync(`${"long/".repeat(600)}end`, join(folder, "long-target"));
  await makeSocket(join(folder, "socket"));
}

/** Node removes a socket's path when its server closes, so a second name keeps it. */
async function makeSocket(path: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(`${path}.listening`, resolve);
  });
  linkSync(`${path}.listening`, path);
  await new Promise((resolve) => server.close(resolve));
}

/** By touch(1): Node's own call cuts nanoseconds and takes times before 1970 for now. */
async function fillTimes(folder: string, signal: AbortSignal): Promise<void> {
  const times = [
    "1931-05-17 01:02:03.123456789",
    "1969-12-31 23:59:59.999999999",
    "2026-01-01 00:00:00.000000001",
    "2150-06-07 08:09:10.5",
  ];
  for (const time of times) {
    const path = join(folder, time.slice(0, 10));
    writeFileSync(path, `${time} UTC\n`);
    await run(["touch", "-d", `${time} UTC`, path], { signal });
  }
  symlinkSync("1969-12-31", join(folder, "link-of-1999"));
  lutimesSync(join(folder, "link-of-1999"), 915_148_800, 915_148_800);
}

async function fillAttributes(
  folder: string,
  privileged: boolean,
  tool: (...argv: string[]) => Promise<void>,
): Promise<void> {
  const path = (name: string) => {
    writeFileSync(join(folder, name), `${name}\n`);
    return join(folder, name);
  };
  await tool("setfattr", "-n", "user.comment", "-v", "text", path("user"));
  await tool("setfattr", "-n", "user.binary=%", "-v", "0x00ff0a3d", path("binary"));
  await tool("setfattr", "-n", "user.empty", path("empty-value"));
  await tool("setfacl", "-m", "u:4321:rw,g:8765:r,m::rw", path("acl"));
  mkdirSync(join(folder, "default-acl"));
  await tool("setfacl", "-d", "-m", "u:4321:rwx", join(folder, "default-acl"));
  if (!privileged) return;
  await tool("setfattr", "-n", "trusted.comment", "-v", "root's", path("trusted"));
  symlinkSync("user", join(folder, "link"));
  await tool("setfattr", "-h", "-n", "trusted.of-a-link", "-v", "yes", join(folder, "link"));
  await tool("setcap", "cap_net_raw=ep", path("capability"));
}

function fillOwners(folder: string): void {
  const owners = [
    ["setuid", 1000, 100, 0o4755],
    ["setgid", 4_294_967_294, 4_000_000_000, 0o2711],
    ["nobody-may", 65_534, 65_534, 0o000],
  ] as const;
  for (const [name, uid, gid, mode] of owners) {
    writeFileSync(join(folder, name), name);
    chownSync(join(folder, name), uid, gid);
    chmodSync(join(folder, name), mode);
  }
  mkdirSync(join(folder, "sticky"));
  chmodSync(join(folder, "sticky"), 0o1777);
}

async function fillDevices(folder: string, signal: AbortSignal): Promise<void> {
  for (const [name, ...words] of [
    ["null", "c", "1", "3"],
    ["large", "b", "259", "300000"],
    ["fifo", "p"],
  ] as const) {
    await run(["mknod", join(folder, name), ...words], { signal });
  }
  linkSync(join(folder, "fifo"), join(folder, "fifo-again"));
}
