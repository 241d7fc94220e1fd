// savefs --snapshot on a kernel without device-mapper: btrfs, freeze and remount-ro under a writer, hooks, signals, and what kill -9 leaves.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, closeSync, constants, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it, vi } from "vitest";
import { expectStatus, jsonLines, tsfsaArgv } from "../support/cli.ts";
import { type Lab, recipes, withLab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { must, run } from "../support/run.ts";
import { noise } from "../support/trees.ts";

requireOrSkip("root", "loop");

/** Two files that a shell writes one after the other, over and over: `first` is never behind `second`. */
function startWriter(folder: string): ChildProcess {
  const script = "n=0; while :; do n=$((n + 1)); echo $n > first; echo $n > second; done";
  return spawn("bash", ["-c", script], { cwd: folder, stdio: "ignore" });
}

async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await once(child, "exit");
}

/** A mounted file system with content that does not fit into a pipe. */
async function mounted(lab: Lab, recipe: (typeof recipes)["ext4" | "btrfs"]): Promise<string> {
  const path = await lab.mount(await lab.filesystem(recipe));
  writeFileSync(join(path, "noise"), noise(4 * 1024 * 1024, 1));
  writeFileSync(join(path, "first"), "0\n");
  writeFileSync(join(path, "second"), "0\n");
  return path;
}

/** savefs into a pipe that nobody reads: it stands still in the middle of its work. */
async function stuckSave(source: string, ...words: readonly string[]): Promise<ChildProcess> {
  const [program = "", ...rest] = tsfsaArgv("savefs", ...words, "-", source);
  const child = spawn(program, rest, { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (said += text));
  const started = once(child.stdout, "readable");
  const ended = once(child, "exit").then(() => Promise.reject(new Error(`savefs ended: ${said}`)));
  ended.catch(() => undefined);
  await Promise.race([started, ended]);
  return child;
}

/** Whether a new file can be written within a while. */
async function isWritable(folder: string): Promise<boolean> {
  const child = spawn("touch", [join(folder, "probe")], { stdio: "ignore" });
  const done = once(child, "exit").then(([code]) => code === 0);
  return Promise.race([done, sleep(2000).then(() => false)]);
}

async function eventually(what: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 100; i++) {
    if (await what()) return;
    await sleep(100);
  }
  throw new Error("it did not come true in 10 s");
}

function superblockIsReadOnly(folder: string): boolean {
  const line = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .find((each) => each.includes(` ${folder} `));
  return / - \S+ \S+ ro\b/.test(line ?? "");
}

describe("freeze", () => {
  it("saves one instant under a writer, proves it, and lets the writer go on", async () => {
    await withLab(async (lab) => {
      const source = await mounted(lab, recipes.ext4);
      const writer = startWriter(source);
      try {
        const archive = lab.path("a.tsfsa");
        const { stdout } = await expectStatus(0, ["savefs", "--json", "--snapshot=freeze", archive, source]);
        const { snapshot } = jsonLines(stdout).at(-1) as unknown as { snapshot: { volumes: { frozenMs: number }[] } };
        expect(snapshot).toMatchObject({
          oneInstant: true,
          consistency: "crash",
          volumes: [{ method: "freeze", valid: true }],
        });
        expect(snapshot.volumes[0]?.frozenMs).toBeGreaterThan(0);
        const restored = lab.folder("restored");
        await expectStatus(0, ["restdir", archive, restored]);
        const [first, second] = ["first", "second"].map((name) => Number(readFileSync(join(restored, name), "utf8")));
        // A shell empties a file before it writes it: 0 is the moment in between.
        if (first !== 0 && second !== 0) expect([0, 1]).toContain((first as number) - (second as number));
        expect(await isWritable(source)).toBe(true);
      } finally {
        await stop(writer, "SIGKILL");
      }
      expect(lab.leftovers()).toEqual([]);
    });
  });

  it("is thawed by its guard when the run is killed", async () => {
    await withLab(async (lab) => {
      const source = await mounted(lab, recipes.ext4);
      const save = await stuckSave(source, "--snapshot=freeze");
      // Freezing what is frozen is refused: the kernel says that it is.
      expect((await run(["fsfreeze", "--freeze", source])).status).not.toBe(0);
      await stop(save, "SIGKILL");
      await eventually(() => isWritable(source));
    });
  });

  it("ends with status 14 when it takes longer than it may, and writers went on then", async () => {
    await withLab(async (lab) => {
      const source = await mounted(lab, recipes.ext4);
      const save = await stuckSave(source, "--snapshot=freeze", "--max-freeze", "1");
      expect(await once(save, "exit")).toEqual([14, null]);
      expect(await isWritable(source)).toBe(true);
    });
  });

  it("refuses to freeze where the archive is written, and the root", async () => {
    await withLab(async (lab) => {
      const source = await mounted(lab, recipes.ext4);
      const { stderr } = await expectStatus(15, ["savefs", "--snapshot=freeze", join(source, "a.tsfsa"), source]);
      expect(stderr).toContain("written meanwhile");
      await expectStatus(15, ["savefs", "--snapshot=lvm", lab.path("a.tsfsa"), source]);
    });
  });
});

describe("remount-ro", () => {
  it("is refused while a file is open for writing, and undone after the save and after kill -9", async () => {
    await withLab(async (lab) => {
      const source = await mounted(lab, recipes.ext4);
      const writer = spawn("bash", ["-c", `exec 3>> ${join(source, "open")}; echo ready; sleep 600`], {
        stdio: ["ignore", "pipe", "ignore"],
      });
      try {
        await once(writer.stdout, "data");
        const { stderr } = await expectStatus(15, ["savefs", "--snapshot=remount-ro", lab.path("a.tsfsa"), source]);
        expect(stderr).toContain("open for writing");
      } finally {
        await run(["pkill", "-P", String(writer.pid)]);
        await stop(writer, "SIGKILL");
      }
      await expectStatus(0, ["savefs", "--snapshot=remount-ro", lab.path("b.tsfsa"), source]);
      expect(superblockIsReadOnly(source)).toBe(false);
      const save = await stuckSave(source, "--snapshot=remount-ro");
      expect(superblockIsReadOnly(source)).toBe(true);
      await stop(save, "SIGKILL");
      await eventually(() => !superblockIsReadOnly(source));
    });
  });
});

describe("a snapshot that is lost while nobody reads what is saved", () => {
  // What Node.js calls a pipe is a socket.
  it.each(["a pipe", "a socket"])("ends the run with status 14: %s", async (kind) => {
    await withLab(async (lab) => {
      const source = await mounted(lab, recipes.ext4);
      const fifo = lab.path("fifo");
      await must(["mkfifo", fifo]);
      const still = openSync(fifo, constants.O_RDWR);
      const output = kind === "a pipe" ? still : "pipe";
      const [program = "", ...words] = tsfsaArgv("savefs", "--snapshot=remount-ro", "-", source);
      const save = spawn(program, words, { stdio: ["ignore", output, "ignore"] });
      const ended = once(save, "exit");
      try {
        await eventually(() => superblockIsReadOnly(source));
        // It has read all and cannot write it.
        await sleep(2000);
        await must(["mount", "-o", "remount,rw", source]);
        expect(await Promise.race([ended, sleep(20_000)])).toEqual([14, null]);
      } finally {
        closeSync(still);
        await stop(save, "SIGKILL");
      }
    });
  });
});

describe("btrfs", () => {
  const subvolumes = async (path: string): Promise<string> =>
    (await must(["btrfs", "subvolume", "list", path])).stdout.toString();

  it("saves a snapshot under a writer and leaves nothing, also after SIGTERM; kill -9 leaves what cleanup removes", async () => {
    await withLab(async (lab) => {
      const source = await mounted(lab, recipes.btrfs);
      mkdirSync(join(source, "deep"));
      for (const name of ["nested", "deep/inner"]) {
        await must(["btrfs", "-q", "subvolume", "create", join(source, name)]);
        writeFileSync(join(source, name, "file"), name);
      }
      const writer = startWriter(source);
      try {
        const { stdout } = await expectStatus(0, ["savefs", "--json", "--snapshot", lab.path("a.tsfsa"), source]);
        expect(jsonLines(stdout).at(-1)).toMatchObject({ snapshot: { volumes: [{ method: "btrfs", valid: true }] } });
        expect(await subvolumes(source)).not.toContain(".tsfsa-");

        const stopped = await stuckSave(source, "--snapshot");
        expect(await subvolumes(source)).toMatch(/path \.tsfsa-\d+-\d+-[0-9a-f]{8}-0\/deep\/inner\n/);
        await stop(stopped, "SIGTERM");
        expect(stopped.signalCode).toBe("SIGTERM");
        expect(await subvolumes(source)).not.toContain(".tsfsa-");

        const killed = await stuckSave(source, "--snapshot");
        const living = await expectStatus(0, ["cleanup", "--json"]);
        expect(jsonLines(living.stdout).at(-1)).toMatchObject({ snapshots: [] });
        expect(await subvolumes(source)).toContain(".tsfsa-");
        await stop(killed, "SIGKILL");
        const folder = join(source, ".tsfsa-999999999-1-00000000-0");
        mkdirSync(folder);
        await expectStatus(0, ["cleanup"]);
        expect(await subvolumes(source)).not.toContain(".tsfsa-");
        expect(existsSync(folder), "a folder is none of ours").toBe(true);
      } finally {
        await stop(writer, "SIGKILL");
      }
    });
  });

  it("keeps a snapshot on request, which cleanup leaves alone and remove removes", async () => {
    await withLab(async (lab) => {
      const source = await mounted(lab, recipes.btrfs);
      await expectStatus(0, ["savefs", "--snapshot", "--keep-snapshot", lab.path("a.tsfsa"), source]);
      await expectStatus(0, ["cleanup"]);
      const [, name = ""] = /path (\.tsfsa-kept-0)\n/.exec(await subvolumes(source)) ?? [];
      expect(name).toBe(".tsfsa-kept-0");
      // A second one has a name of its own.
      await expectStatus(0, ["savefs", "--snapshot", "--keep-snapshot", lab.path("b.tsfsa"), source]);
      expect(await subvolumes(source)).toMatch(/path \.tsfsa-kept-1\n/);
      await expectStatus(0, ["snapshot", "remove", name]);
      await expectStatus(0, ["snapshot", "remove", ".tsfsa-kept-1"]);
      expect(await subvolumes(source)).not.toContain(".tsfsa-");
    });
  });
});

describe("--keep-snapshot=on-failure", () => {
  it("keeps the snapshot of a run that failed, for another try, and none of one that did not", async () => {
    await withLab(async (lab) => {
      const source = await mounted(lab, recipes.btrfs);
      const ours = async (): Promise<string> =>
        (await must(["btrfs", "subvolume", "list", source])).stdout.toString().replaceAll(/^.* path /gm, "");
      const words = ["savefs", "--snapshot", "--keep-snapshot=on-failure"];
      await expectStatus(0, [...words, lab.path("a.tsfsa"), source]);
      expect(await ours()).toBe("");

      // Nothing can be written there.
      await expectStatus(2, ["savefs", "--snapshot", "/dev/full", source]);
      expect(await ours()).toBe("");
      const { stderr } = await expectStatus(2, [...words, "/dev/full", source]);
      expect(await ours()).toBe(".tsfsa-kept-0\n");
      writeFileSync(join(source, "noise"), "changed since");
      const [, command = ""] = /: (mount -o .*) \/MOUNTPOINT$/m.exec(stderr) ?? [];
      const [again, archive] = [lab.folder("again"), lab.path("b.tsfsa")];
      await must([...command.split(" "), again]);
      try {
        await expectStatus(0, ["savefs", "--snapshot", archive, again]);
      } finally {
        await must(["umount", again]);
      }
      const restored = lab.folder("restored");
      await expectStatus(0, ["restdir", archive, restored]);
      expect(readFileSync(join(restored, "noise")).equals(noise(4 * 1024 * 1024, 1))).toBe(true);

      expect((await expectStatus(0, ["snapshot", "list"])).stdout.toString()).toContain(
        ".tsfsa-kept-0  btrfs of /dev/loop",
      );
      expect((await expectStatus(0, ["snapshot", "status", ".tsfsa-kept-0"])).stdout.toString()).toContain(
        "kept, valid",
      );
      await expectStatus(0, ["snapshot", "remove", ".tsfsa-kept-0"]);
      expect(await ours()).toBe("");
    });
  });
});

describe("file systems whose methods have no common instant", () => {
  it("are saved in one run, which says so, also in the archive", async () => {
    await withLab(async (lab) => {
      const sources = [await mounted(lab, recipes.btrfs), await mounted(lab, recipes.ext4)];
      const archive = lab.path("a.tsfsa");
      const { stdout } = await expectStatus(1, ["savefs", "--json", "--snapshot", archive, ...sources]);
      expect(jsonLines(stdout).filter(({ type }) => type === "warning")).toMatchObject([{ code: "SNAPSHOT_INSTANTS" }]);
      const told = await expectStatus(0, ["archinfo", "--json", archive]);
      expect(told.stdout.toString()).toContain('"oneInstant":false');
      const methods = [{ method: "btrfs" }, { method: "freeze" }];
      expect(jsonLines(stdout).at(-1)).toMatchObject({ snapshot: { oneInstant: false, volumes: methods } });
      for (const source of sources) expect(await isWritable(source)).toBe(true);
    });
  });
});

describe("snapshot plan", () => {
  it("says which method, why not those before it, and what would run, and changes nothing", async () => {
    await withLab(async (lab) => {
      const source = await mounted(lab, recipes.ext4);
      const { stdout } = await expectStatus(0, ["snapshot", "plan", source]);
      expect(stdout.toString().split("\n")).toEqual([
        `${source}: freeze: writers wait until it is read, for at most 60 s`,
        "  not lvm: it does not lie on a logical volume",
        "  not lvm-thin: it does not lie on a thin logical volume",
        "  not dm: it does not lie on a device of device-mapper",
        "  not btrfs: it is ext4, not btrfs",
        `  $ fsfreeze --freeze ${source}`,
        `  $ fsfreeze --unfreeze ${source}`,
        "",
      ]);
      expect(await isWritable(source)).toBe(true);
      const other = await mounted(lab, recipes.btrfs);
      const json = await expectStatus(0, ["snapshot", "plan", "--json", other, await lab.filesystem(recipes.ext4)]);
      expect(jsonLines(json.stdout).at(-1)).toMatchObject({
        plans: [
          { path: other, method: "btrfs", commands: [expect.stringContaining("btrfs subvolume snapshot"), {}, {}] },
          { method: null, reason: "nothing of it is mounted read-write here: it needs no snapshot" },
        ],
      });
      const refused = await expectStatus(0, ["snapshot", "plan", "--method", "lvm", source]);
      expect(refused.stdout.toString()).toContain("no snapshot method fits");
    });
  });
});

describe("hooks", () => {
  it("run in order around the instant, and the last one after a failure, too", async () => {
    await withLab(async (lab) => {
      const source = await mounted(lab, recipes.btrfs);
      const log = lab.path("log");
      const say = (what: string): string => `echo ${what} >> ${log}`;
      const hold = `${say("locked")}; echo ready; cat > /dev/null; ${say("unlocked")}`;
      const hooks = ["--pre-snapshot", say("pre"), "--hold", hold, "--post-snapshot", `echo $TSFSA_RESULT >> ${log}`];
      await expectStatus(0, ["savefs", "--snapshot", ...hooks, lab.path("a.tsfsa"), source]);
      expect(readFileSync(log, "utf8").split("\n")).toEqual(["pre", "locked", "unlocked", "done", ""]);

      writeFileSync(log, "");
      const dying = ["--hold", "echo ready; exit 0", "--post-snapshot", `echo $TSFSA_RESULT >> ${log}`];
      const { stderr } = await expectStatus(16, ["savefs", "--snapshot", ...dying, lab.path("b.tsfsa"), source]);
      expect(stderr).toContain("held hook");
      expect(readFileSync(log, "utf8")).toBe("failed\n");
      await expectStatus(16, [
        "savefs",
        "--snapshot",
        "--pre-snapshot",
        "echo no; exit 3",
        lab.path("c.tsfsa"),
        source,
      ]);
      const late = ["--hook-timeout", "1", "--hold", "sleep 60"];
      await expectStatus(16, ["savefs", "--snapshot", ...late, lab.path("d.tsfsa"), source]);
      expect((await must(["btrfs", "subvolume", "list", source])).stdout.toString()).toBe("");
    });
  });

  it.each(["--pre-snapshot", "--hold"])(
    "that wait do not hold up a signal, and end with the run: %s",
    async (option) => {
      await withLab(async (lab) => {
        const source = await mounted(lab, recipes.btrfs);
        const file = lab.path("pid");
        const [program = "", ...words] = tsfsaArgv("savefs", "--snapshot", option, `echo $$ > ${file}; exec sleep 600`);
        const save = spawn(program, [...words, lab.path("a.tsfsa"), source], { stdio: "ignore" });
        const ended = once(save, "exit");
        await eventually(() => existsSync(file) && readFileSync(file, "utf8").endsWith("\n"));
        save.kill("SIGTERM");
        expect(await Promise.race([ended, sleep(20_000)])).toEqual([null, "SIGTERM"]);
        await eventually(() => !existsSync(`/proc/${readFileSync(file, "utf8").trim()}`));
        expect((await must(["btrfs", "subvolume", "list", source])).stdout.toString()).toBe("");
      });
    },
  );
});

describe("services", () => {
  afterEach(() => vi.unstubAllEnvs());

  /** A systemctl first on PATH, which knows all units but `absent`, cannot stop `stubborn`, and logs each call with the number of our snapshots then. */
  function fakeSystemctl(lab: Lab, source: string): () => readonly string[] {
    const folder = lab.folder("bin");
    const log = lab.path("systemctl.log");
    const script = `#!/bin/sh
verb=$1; for unit; do :; done
[ $verb = is-active ] && { [ $unit != absent ]; exit; }
echo "$verb $unit $(btrfs subvolume list ${source} | grep -c tsfsa)" >>${log}
[ "$verb $unit" != "stop stubborn" ]
`;
    writeFileSync(join(folder, "systemctl"), script);
    chmodSync(join(folder, "systemctl"), 0o755);
    vi.stubEnv("PATH", `${folder}:${process.env["PATH"]}`);
    return () => {
      const lines = readFileSync(log, "utf8").split("\n").slice(0, -1);
      writeFileSync(log, "");
      return lines;
    };
  }

  const stopped = (...units: readonly string[]): string[] => units.flatMap((unit) => ["--stop-service", unit]);

  it("stand still for the snapshot only, and are started again after a failure as well", async () => {
    await withLab(async (lab) => {
      const source = await mounted(lab, recipes.btrfs);
      const calls = fakeSystemctl(lab, source);

      // In the middle of the reading: they run again already, since the snapshot is there.
      const save = await stuckSave(source, "--snapshot", ...stopped("web", "absent", "database"));
      expect(calls()).toEqual(["stop web 0", "stop database 0", "start database 1", "start web 1"]);
      save.stdout?.resume();
      expect(await once(save, "exit")).toEqual([0, null]);
      expect(calls()).toEqual([]);

      const failing = ["--snapshot", "--hold", "exit 3", ...stopped("web", "database"), lab.path("a.tsfsa"), source];
      await expectStatus(16, ["savefs", ...failing]);
      expect(calls()).toEqual(["stop web 0", "stop database 0", "start database 0", "start web 0"]);

      // One that did not stop may have stopped in part.
      const words = ["--snapshot", ...stopped("web", "stubborn"), lab.path("b.tsfsa"), source];
      const { stderr } = await expectStatus(2, ["savefs", ...words]);
      expect(stderr).toContain("systemctl");
      expect(calls()).toEqual(["stop web 0", "stop stubborn 0", "start stubborn 0", "start web 0"]);
    });
  });
});
