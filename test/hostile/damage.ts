// A small archive of every kind of entry, damaged in many ways and judged: verify must find any damage, and a restore must end whole with status 0, or
// not 0 with every entry named that is not as it was.

import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { addon } from "../../src/sys/addon.ts";
import { AT_FDCWD, S_IFIFO } from "../../src/sys/constants.ts";
import { tsfsaArgv } from "../support/cli.ts";
import { inlineRestore, type InlineResult, inlineVerify } from "../support/inline.ts";
import { differences, treeState } from "../support/tree-state.ts";
import { must } from "../support/run.ts";
import {
  buildTree,
  bytes,
  directory,
  file,
  link,
  noise,
  prose,
  sparse,
  symlink,
  type TreeNode,
} from "../support/trees.ts";

/** TSFSA_TEST_DAMAGE=all: every byte and every length; else a sample that keeps within seconds. */
export const isExhaustive: boolean = process.env["TSFSA_TEST_DAMAGE"] === "all";

export interface Judged {
  readonly verify: InlineResult;
  readonly restore: InlineResult;
  /** Paths that are there and not as they were, and paths that are not there. */
  readonly wrong: readonly string[];
  readonly missing: readonly string[];
}

const refusals = [8, 9, 10, 11];

export class DamageLab {
  readonly archive: Buffer;
  readonly #dir: string;
  readonly #expected: ReadonlyMap<string, string>;
  #count = 0;

  private constructor(archive: Buffer, dir: string, expected: ReadonlyMap<string, string>) {
    this.archive = archive;
    this.#dir = dir;
    this.#expected = expected;
  }

  /** Saves a small tree with these words for savedir. `large`: with a file and a sparse file of several blocks. */
  static async open(words: readonly string[], large: boolean): Promise<DamageLab> {
    const dir = mkdtempSync("/dev/shm/tsfsa-damage-");
    const source = join(dir, "source");
    mkdirSync(source);
    await buildTree(source, tree(large));
    const path = join(dir, "whole.tsfsa");
    await must(tsfsaArgv("savedir", "-q", "-A", "-j1", ...words, path, source));
    return new DamageLab(readFileSync(path), dir, treeState(source, false));
  }

  /** An archive as it is; what it holds is what it restores to. */
  static async of(archive: Buffer): Promise<DamageLab> {
    const dir = mkdtempSync("/dev/shm/tsfsa-damage-");
    const path = join(dir, "whole.tsfsa");
    writeFileSync(path, archive);
    const { status } = await inlineRestore(path, join(dir, "source"));
    if (status !== 0) throw new Error(`the archive to be damaged has status ${status}`);
    return new DamageLab(archive, dir, treeState(join(dir, "source"), false));
  }

  close(): void {
    rmSync(this.#dir, { recursive: true, force: true });
  }

  /** Verifies and restores the bytes, from a file or from a pipe. */
  async judge(archive: Uint8Array, via: "file" | "pipe" = "file"): Promise<Judged> {
    const path = join(this.#dir, "damaged.tsfsa");
    const destination = join(this.#dir, `restored-${this.#count++}`);
    writeFileSync(path, archive);
    mkdirSync(destination);
    try {
      const verify = await this.#through(path, via, (from) => inlineVerify(from));
      const untouched = treeState(destination, false).get("");
      const restore = await this.#through(path, via, (from) => inlineRestore(from, destination));
      const found = treeState(destination, false);
      if (found.get("") === untouched) found.delete("");
      const missing = [...this.#expected.keys()].filter((each) => !found.has(each));
      const wrong = differences(this.#expected, found).filter((each) => found.has(each));
      return { verify, restore, wrong, missing };
    } finally {
      rmSync(destination, { recursive: true });
    }
  }

  /**
   * Damage is found by both, never a defect, and every entry that did not come back as it was is named: but where the archive is refused as a whole, where
   * it ends too early (nobody knows the names behind), for what only a lost part of the catalog told of, and `isNameless`.
   */
  async expectHonest(
    archive: Uint8Array,
    what: string,
    via: "file" | "pipe" = "file",
    isNameless: (path: string) => boolean = () => false,
  ): Promise<Judged> {
    const judged = await this.judge(archive, via);
    const { verify, restore, wrong, missing } = judged;
    const said = [restore.error?.message, ...restore.warnings.map(({ message }) => message)].join("\n");
    expect(refusals, `verify, ${what}: ${verify.error?.message}`).toContain(verify.status);
    expect(refusals, `restdir, ${what}: ${said}`).toContain(restore.status);
    expect(verify.status, what).toBe(restore.status);
    const named = (path: string): boolean => restore.named.has(path) || (path === "" && restore.named.has("."));
    expect(
      wrong.filter((path) => !named(path)),
      `restdir, ${what}: wrong and not named\n${said}`,
    ).toEqual([]);
    const isRefused = restore.warnings.length === 0 && missing.length === this.#expected.size;
    const isCut = /ends without its footer/.test(said);
    const isWithoutCatalog = /the catalog of the blocks from/.test(said);
    const silent = missing.filter(
      (path) => !named(path) && !(isWithoutCatalog && this.#isSocket(path)) && !isNameless(path),
    );
    if (!isRefused && !isCut) expect(silent, `restdir, ${what}: missing and not named\n${said}`).toEqual([]);
    return judged;
  }

  #isSocket(path: string): boolean {
    return this.#expected.get(path)?.startsWith("140") === true;
  }

  async #through<Result>(path: string, via: "file" | "pipe", run: (from: string) => Promise<Result>): Promise<Result> {
    if (via === "file") return run(path);
    const fifo = join(this.#dir, `fifo-${this.#count++}`);
    mkfifo(fifo);
    const writer = spawn("sh", ["-c", 'exec cat "$0" > "$1"', path, fifo], { stdio: "ignore" });
    const ended = new Promise((resolve) => writer.once("exit", resolve));
    const result = await run(fifo);
    await ended;
    rmSync(fifo);
    return result;
  }
}

function mkfifo(path: string): void {
  const made = addon().mknodAt(AT_FDCWD, Buffer.from(path), S_IFIFO | 0o600, 0, 0);
  if (made < 0) throw new Error(`mkfifo ${path}: errno ${-made}`);
}

/** Every kind of entry that tmpfs can hold. */
function tree(large: boolean): ReturnType<typeof directory> {
  const shared = file("two names", { mode: 0o640 });
  const socket: TreeNode = { kind: "socket" };
  const trusted = [[bytes("trusted.note"), bytes("\0binary\xff")]] as const;
  const megabyte = 1 << 20;
  const several = file(Buffer.alloc(2 * megabyte + 4321, "several blocks "), { mtime: "1234567890.123456789" });
  const holes = sparse(64 * megabyte, [
    { offset: 0, bytes: bytes("start") },
    { offset: 5 * megabyte, bytes: Buffer.alloc(megabyte, "a") },
    { offset: 40 * megabyte, bytes: Buffer.alloc(megabyte, "b") },
  ]);
  return directory({
    "a-text": file(prose(700, 1), { mtime: "-1.5", xattrs: trusted }),
    "b-noise": file(noise(600, 2), { uid: 70_000, gid: 5, mode: 0o4755 }),
    "c-empty": file(""),
    "d-folder": directory(
      { inner: file("inner"), deep: directory({ deeper: file("deeper") }), shared },
      { mode: 0o2750, acl: "u:99:rwx,d:u:7:rx", mtime: "1000000000.000000001" },
    ),
    ...(large ? { "e-several": several, "f-holes": holes } : {}),
    "g-link": link(shared),
    "h-symlink": symlink("../nowhere"),
    "i-fifo": { kind: "fifo", mode: 0o622 },
    "j-device": { kind: "charDevice", major: 1, minor: 3, mode: 0o666 },
    "k-hole": sparse(100_000, [{ offset: 8192, bytes: bytes("in the middle") }]),
    "n-socket": socket,
    "o-\xff\nname": file("odd"),
  });
}
