// Readers that do not read, writers that do not write, pipes that close and disks that fill: a signal ends the wait at once, and every end has its
// status and its sentence.

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import {
  closeSync,
  constants,
  existsSync,
  linkSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { constants as systemConstants } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { expectStatus, jsonLines, tsfsa, tsfsaArgv } from "../support/cli.ts";
import { looksLikeDefect, silentLosses, smallTree, treeState } from "../support/faults.ts";
import { type Lab, withLab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { type RunResult, shell } from "../support/run.ts";
import { soonMs, stop } from "../support/signal.ts";
import { buildTree, noise } from "../support/trees.ts";

requireOrSkip("root");

/** What a run waits for, and its standard input and output where they are not nothing. */
interface Wait {
  readonly words: readonly string[];
  readonly input?: number;
  readonly output?: number;
  /** A file of which there must be nothing in its folder afterwards. */
  readonly archive?: string;
}

/** Ways to wait, made below a lab; `pipe` is both ends of a pipe in which nothing moves. */
const waits: Readonly<Record<string, (lab: Lab, pipe: number) => Promise<Wait>>> = {
  "a full pipe takes no more of the archive": async (lab, output) => {
    return { words: ["savedir", "-q", "-A", "-z0", "-", largeSource(lab)], output };
  },
  "nobody opens the FIFO that the archive goes to": async (lab) => {
    const fifo = lab.path("fifo");
    execFileSync("mkfifo", [fifo]);
    return { words: ["savedir", "-q", "-A", fifo, largeSource(lab)] };
  },
  "a full pipe takes no more of a listing": async (lab, output) => {
    return { words: ["list", await manyEntries(lab)], output };
  },
  "a full pipe takes no more of a listing in JSON": async (lab, output) => {
    return { words: ["list", "--json", await manyEntries(lab)], output };
  },
  "the archive does not come": async (lab, input) => ({ words: ["restdir", "-", lab.folder("restored")], input }),
  "the archive stops in the middle": async (lab, input) => {
    const archive = lab.path("a.tsfsa");
    await expectStatus(0, ["savedir", "-q", "-A", "-z0", archive, largeSource(lab)]);
    writeSync(input, readFileSync(archive).subarray(0, 60_000));
    return { words: ["restdir", "-", lab.folder("restored")], input };
  },
  "nobody opens the FIFO that the archive comes from": async (lab) => {
    const fifo = lab.path("fifo");
    execFileSync("mkfifo", [fifo]);
    return { words: ["verify", fifo] };
  },
  "a block takes half a minute to compress": async (lab) => {
    const archive = join(lab.folder("out"), "slow.tsfsa");
    return { words: ["savedir", "-q", "-A", "-z9", archive, largeSource(lab, 40 << 20)], archive };
  },
  "a block of an image takes as long": async (lab) => {
    const image = join(largeSource(lab, 40 << 20), "large");
    const archive = join(lab.folder("out"), "slow.tsfsa");
    return { words: ["saveimg", "-q", "-z9", archive, image], archive };
  },
};

describe("a signal that comes while", () => {
  const cases = Object.keys(waits).map((what, index) => [what, ["SIGTERM", "SIGINT", "SIGHUP"][index % 3]] as const);

  it.each(cases)("%s ends the run at once (%s)", async (what, name) => {
    const signal = name as "SIGTERM" | "SIGINT" | "SIGHUP";
    await withLab(async (lab) => {
      const fifo = lab.path("pipe");
      execFileSync("mkfifo", [fifo]);
      const pipe = openSync(fifo, constants.O_RDWR);
      try {
        const wait = await (waits[what] as (typeof waits)[string])(lab, pipe);
        const child = start(wait);
        const end = ending(child);
        await hearsSignals(child, systemConstants.signals[signal]);
        await sleep(1500);
        const hang = setTimeout(() => child.kill("SIGKILL"), 20_000);
        const { tookMs } = await stop(child, signal);
        const { status, stderr } = await end;
        clearTimeout(hang);
        expect(status, stderr).toBe(128 + systemConstants.signals[signal]);
        // With --json it is told on the pipe.
        if (!wait.words.includes("--json")) expect(stderr).toMatch(new RegExp(`^tsfsa: stopped by ${signal}: `, "m"));
        expect(stderr).not.toMatch(/defect|^\s+at /m);
        expect(tookMs).toBeLessThan(soonMs);
        if (wait.archive !== undefined) expect(readdirSync(dirname(wait.archive))).toEqual([]);
      } finally {
        closeSync(pipe);
      }
    });
  });
});

describe("a pipe that closes", () => {
  it("ends a listing with the status of SIGPIPE, without a word", async () => {
    await withLab(async (lab) => {
      const archive = await manyEntries(lab);
      for (const options of [[], ["--json"]]) {
        const words = tsfsaArgv("list", ...options, archive);
        const result = await shell('"$@" | head -n 1 >/dev/null; exit "${PIPESTATUS[0]}"', words);
        expect([result.status, result.stderr]).toEqual([141, ""]);
      }
    });
  });

  it("fails a save to standard output with a sentence", async () => {
    await withLab(async (lab) => {
      const words = tsfsaArgv("savedir", "-q", "-A", "-z0", "-", largeSource(lab));
      const result = await shell('"$@" | head -c 100000 >/dev/null; exit "${PIPESTATUS[0]}"', words);
      expect(result.status, result.stderr).toBe(2);
      expect(result.stderr).toMatch(/^tsfsa: .*EPIPE/m);
      expect(looksLikeDefect(result)).toBe(false);
    });
  });

  it("that closes on the archive's way in is damage, with all that came restored", async () => {
    await withLab(async (lab) => {
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savedir", "-q", "-A", "-z0", archive, largeSource(lab)]);
      const words = [archive, ...tsfsaArgv("restdir", "-q", "-", lab.folder("restored"))];
      const result = await shell('head -c 1000000 "$1" | "${@:2}"; exit "${PIPESTATUS[1]}"', words);
      expect(result.status, result.stderr).toBe(10);
    });
  });
});

describe("a full disk", () => {
  it("fails a save, leaves nothing of it and keeps the older archive", async () => {
    await withLab(async (lab) => {
      const source = largeSource(lab);
      const small = await lab.tmpfs(2 << 20);
      const archive = join(small, "a.tsfsa");
      expectFull(await tsfsa(["savedir", "-q", "-A", archive, source]));
      expect(readdirSync(small)).toEqual([]);
      writeFileSync(archive, "older");
      expectFull(await tsfsa(["savedir", "-q", "-A", "-o", archive, source]));
      expect(readdirSync(small)).toEqual(["a.tsfsa"]);
      expect(readFileSync(archive, "utf8")).toBe("older");
    });
  });

  it("ends a restore with NO_SPACE, whether blocks or inodes are used up", async () => {
    await withLab(async (lab) => {
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savedir", "-q", "-A", archive, largeSource(lab)]);
      expectFull(await tsfsa(["restdir", "-q", archive, await lab.tmpfs(1 << 20)]));
      const many = await manyEntries(lab);
      const fewInodes = await lab.tmpfs(8 << 20);
      execFileSync("mount", ["-o", "remount,nr_inodes=500", fewInodes]);
      expectFull(await tsfsa(["restdir", "-q", many, fewInodes]));

      const source = lab.folder("links");
      writeFileSync(join(source, "first"), "text");
      for (let index = 0; index < 600; index++) linkSync(join(source, "first"), join(source, `name ${index}`));
      const links = lab.path("links.tsfsa");
      await expectStatus(0, ["savedir", "-q", "-A", links, source]);
      const fewNames = await lab.tmpfs(8 << 20); // where each name counts as an inode
      execFileSync("mount", ["-o", "remount,nr_inodes=500", fewNames]);
      expectFull(await tsfsa(["restdir", "-q", links, fewNames]));
    });
  });

  it("behind standard output fails saves and listings", async () => {
    await withLab(async (lab) => {
      const save = tsfsaArgv("savedir", "-q", "-A", "-", largeSource(lab));
      expectFull(await shell('"$@" >/dev/full', save));
      const list = await shell('"$@" >/dev/full', tsfsaArgv("list", await manyEntries(lab)));
      expect(list.status, list.stderr).toBe(2);
      expect(list.stderr).toMatch(/^tsfsa: .*ENOSPC/m);
    });
  });
});

describe("few descriptors", () => {
  it("make a save and a restore fail with a sentence, or succeed", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      await buildTree(source, smallTree());
      const expected = await treeState(source);
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savedir", "-q", "-A", archive, source]);
      for (const limit of [20, 24, 26, 28, 30, 32, 36, 40, 64]) {
        const limited = lab.path(`${limit}.tsfsa`);
        const script = `ulimit -n ${limit}; exec "$@"`;
        const save = await shell(script, tsfsaArgv("savedir", "-A", "-q", "-j2", limited, source));
        expect(isHonestFailure(save), `save with ${limit}: ${save.status} ${save.stderr}`).toBe(true);
        if (save.status === 0) await expectStatus(0, ["verify", "-q", limited]);
        expect(existsSync(limited), `save with ${limit}`).toBe(save.status < 2);
        const restored = lab.folder("restored");
        const restore = await shell(script, tsfsaArgv("restdir", "-q", "-j2", archive, restored));
        expect(isHonestFailure(restore), `restore with ${limit}: ${restore.status} ${restore.stderr}`).toBe(true);
        if (restore.status === 0) expect(silentLosses(expected, await treeState(restored), [])).toEqual([]);
      }
    });
  });
});

describe("so few descriptors that a block needs several jobs", () => {
  it("change nothing of what a restore counts", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      await buildTree(source, smallTree());
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savedir", "-q", "-A", archive, source]);
      const counted = async (limit: number): Promise<unknown> => {
        const argv = tsfsaArgv("restdir", "--json", "-j2", archive, lab.folder("restored"));
        const { status, stdout } = await shell(`ulimit -n ${limit}; exec "$@"`, argv);
        const summary = jsonLines(stdout).at(-1);
        return { status, entries: summary?.["entries"], bytes: summary?.["bytes"] };
      };
      expect(await counted(64)).toEqual(await counted(1024));
    });
  });
});

/** Where Node itself cannot start it says so in its own way; all that tsfsa says is a sentence. */
function isHonestFailure(result: RunResult): boolean {
  const isNode = result.status > 128 || /^Node\.js v/m.test(result.stderr);
  return isNode || !looksLikeDefect(result);
}

function expectFull(result: RunResult): void {
  expect(result.status, result.stderr).toBe(2);
  expect(result.stderr).toMatch(/^tsfsa: .*(ENOSPC|no space)/im);
  expect(looksLikeDefect(result)).toBe(false);
}

function start({ words, input, output }: Wait): ChildProcess {
  const [program = "", ...rest] = tsfsaArgv(...words);
  return spawn(program, rest, { stdio: [input ?? "ignore", output ?? "ignore", "pipe"] });
}

/** Waits until the process catches the signal. */
async function hearsSignals(child: ChildProcess, signal: number): Promise<void> {
  const caught = (): boolean => {
    const [, mask = "0"] = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${child.pid}/status`, "latin1")) ?? [];
    return ((BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n) === 1n;
  };
  await expect.poll(caught, { timeout: 60_000 }).toBe(true);
}

function ending(child: ChildProcess): Promise<{ readonly status: number; readonly stderr: string }> {
  let stderr = "";
  child.stderr?.on("data", (bytes: Buffer) => (stderr += bytes.toString()));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      resolve({ status: code ?? 128 + systemConstants.signals[signal ?? "SIGKILL"], stderr });
    });
  });
}

function largeSource(lab: Lab, length = 6 << 20): string {
  const source = lab.folder("large");
  writeFileSync(join(source, "large"), noise(length, 1));
  return source;
}

/** An archive whose listing is longer than a pipe holds. */
async function manyEntries(lab: Lab): Promise<string> {
  const source = lab.folder("many");
  for (let index = 0; index < 3000; index++) writeFileSync(join(source, `a rather long name for a file ${index}`), "");
  const archive = lab.path("many.tsfsa");
  await expectStatus(0, ["savedir", "-q", "-A", archive, source]);
  return archive;
}
