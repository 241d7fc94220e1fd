// Boots a machine under qemu (emulated: no KVM is needed or used) whose root is this host's, read-only, under a memory file system: all that is
// installed here and this checkout are inside at the same paths, and what is written there is gone afterwards. Runs one command in it.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { artefacts, folder } from "./artefacts.ts";

export interface MachineOptions {
  /** Sizes in bytes of blank disks: /dev/vda, /dev/vdb … */
  readonly disks: readonly number[];
  /** The machine is switched off after this long. */
  readonly timeoutMs: number;
  /** Called with the folder that both sides see, which is gone afterwards. Inside it is /run/machine, and writable. */
  readonly collect: (shared: string) => void;
}

export interface MachineEnd {
  /** Status of the command; undefined: the machine gave none. */
  readonly status: number | undefined;
  /** What the command said. */
  readonly output: string;
  /** What the kernel said. */
  readonly console: string;
}

/** Boots a machine and runs argv in it, from the folder of the checkout. */
export async function runInMachine(argv: readonly string[], options: MachineOptions): Promise<MachineEnd> {
  const shared = mkdtempSync(join(folder, "run-"));
  try {
    const quote = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;
    const variables = { MODULES: artefacts.modules, FOLDER: process.cwd(), NOW: String(Math.floor(Date.now() / 1000)) };
    const lines = Object.entries(variables).map(([name, value]) => `${name}=${quote(value)}\n`);
    writeFileSync(join(shared, "variables"), lines.join(""));
    writeFileSync(join(shared, "command"), `exec ${argv.map(quote).join(" ")}\n`);
    const seconds = Math.ceil(options.timeoutMs / 1000);
    // timeout(1) outlives a killed test run, so that no machine stays.
    const words = ["-k", "5", String(seconds), "qemu-system-x86_64", ...qemuWords(shared, options.disks)];
    const qemu = spawn("timeout", words, { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    qemu.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    await once(qemu, "close");
    const read = (name: string): string =>
      existsSync(join(shared, name)) ? readFileSync(join(shared, name), "utf8") : "";
    options.collect(shared);
    const status = read("status").trim();
    return {
      status: status === "" ? undefined : Number(status),
      output: read("output"),
      console: `${said}${read("console")}`,
    };
  } finally {
    rmSync(shared, { recursive: true, force: true });
  }
}

function qemuWords(shared: string, disks: readonly number[]): string[] {
  const drives = disks.flatMap((sizeBytes, index) => {
    const file = join(shared, `disk${index}`);
    writeFileSync(file, "");
    truncateSync(file, sizeBytes);
    return [
      "-drive",
      `file=${file},if=none,id=disk${index},format=raw,cache=unsafe,discard=unmap`,
      "-device",
      `virtio-blk-pci,drive=disk${index}`,
    ];
  });
  const share = (id: string, path: string, more: string): string[] => [
    "-fsdev",
    `local,id=${id},path=${path},security_model=none${more}`,
    "-device",
    `virtio-9p-pci,fsdev=${id},mount_tag=${id}`,
  ];
  return [
    "-machine",
    "q35",
    "-cpu",
    "max",
    "-m",
    "1536",
    "-smp",
    "2",
    "-accel",
    "tcg,thread=multi,tb-size=512",
    "-nodefaults",
    "-display",
    "none",
    "-no-reboot",
    "-nic",
    "none",
    "-serial",
    `file:${join(shared, "console")}`,
    "-kernel",
    artefacts.kernel,
    "-initrd",
    artefacts.initial,
    "-append",
    // The counter of the processor is the host's own, and jumps when a busy host moves the machine from one of its processors to the other.
    "console=ttyS0 quiet panic=-1 mitigations=off tsc=unstable no_timer_check nokaslr random.trust_cpu=1",
    ...share("host", "/", ",readonly=on,multidevs=remap"),
    ...share("control", shared, ""),
    ...drives,
  ];
}
