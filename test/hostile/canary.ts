// A folder with a destination and, around it, what no archive may reach. Every change outside of the destination is found.

import {
  lstatSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { execFileSync, spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import {
  inlineExtract,
  inlineList,
  inlineRestore,
  type InlineResult,
  inlineSalvage,
  inlineVerify,
} from "../support/inline.ts";
import type { RestoreRequest } from "../../src/restore/restore.ts";

export class Canary {
  readonly dir: string = mkdtempSync(join(tmpdir(), "tsfsa-canary-"));
  readonly destination: string = join(this.dir, "nest", "destination");
  readonly #before: readonly string[];

  constructor() {
    mkdirSync(this.destination, { recursive: true });
    mkdirSync(join(this.dir, "outside"));
    writeFileSync(join(this.dir, "outside", "secret"), "secret", { mode: 0o600 });
    writeFileSync(join(this.dir, "nest", "neighbour"), "neighbour");
    chmodSync(join(this.dir, "nest"), 0o711);
    this.#before = this.outside();
  }

  archive(bytes: Uint8Array): string {
    const path = join(this.dir, "archive.tsfsa");
    writeFileSync(path, bytes);
    return path;
  }

  /** Names, kinds, modes, owners, times, links and content of everything but the destination and the archive. */
  outside(): string[] {
    return stateOf(this.dir, (path) => path === "archive.tsfsa" || path === "nest/destination");
  }

  /** What stands in the destination. */
  inside(): string[] {
    return stateOf(this.destination).map((line) => line.split("|")[0] as string);
  }

  read(name: string): string {
    return readFileSync(join(this.destination, name), "latin1");
  }

  /** Empties the destination for another restore. */
  empty(): void {
    removable(this.destination);
    execFileSync("find", [this.destination, "-mindepth", "1", "-delete"]);
    chmodSync(this.destination, 0o755);
  }

  plant(name: string, target: string): void {
    symlinkSync(target, join(this.destination, name));
  }

  expectUntouched(): void {
    expect(this.outside()).toEqual(this.#before);
  }

  remove(): void {
    removable(this.dir);
    // Paths may be longer than Node can name.
    execFileSync("rm", ["-rf", "--", this.dir]);
  }
}

/** Takes immutable and append-only flags away, which archives may give; chattr fails on what has none. */
function removable(dir: string): void {
  spawnSync("chattr", ["-R", "-f", "-i", "-a", "--", dir], { stdio: "ignore" });
}

/** `path|what it is` of everything below a folder, sorted. */
export function stateOf(dir: string, skip: (path: string) => boolean = () => false): string[] {
  const lines: string[] = [];
  const visit = (path: string): void => {
    for (const name of readdirSync(join(dir, path), { encoding: "latin1" }).toSorted()) {
      const below = path === "" ? name : `${path}/${name}`;
      if (skip(below)) continue;
      const full = Buffer.from(join(dir, below), "latin1");
      const { mode, uid, gid, nlink, mtimeNs, rdev, size } = lstatSync(full, { bigint: true });
      const kind = Number(mode) & 0o170000;
      const content = kind === 0o100000 ? readFileSync(full, "latin1") : kind === 0o120000 ? readlinkSync(full) : "";
      const times = kind === 0o040000 ? "" : `${size} ${mtimeNs}`;
      const links = kind === 0o040000 ? 0 : nlink;
      lines.push(`${below}|${mode.toString(8)} ${uid}:${gid} ${links} ${rdev} ${times} ${content}`);
      if (kind === 0o040000) visit(below);
    }
  };
  visit("");
  return lines;
}

export interface Attack {
  /** Exit status of restdir and verify; where they differ, each its own. */
  readonly status: number | { readonly restore: number; readonly verify: number };
  readonly says?: RegExp;
  /** What list ends with; 0 where the catalog is in order. */
  readonly list?: number;
  /** What may stand in the destination afterwards. */
  readonly inside?: readonly string[];
  readonly request?: Partial<RestoreRequest>;
  readonly plant?: (canary: Canary) => void;
}

/** Runs restdir, verify, list, extract and salvage on an archive in a canary folder. */
export async function expectRefused(bytes: Uint8Array, attack: Attack): Promise<void> {
  const canary = new Canary();
  try {
    attack.plant?.(canary);
    const archive = canary.archive(bytes);
    const { restore, verify } =
      typeof attack.status === "number" ? { restore: attack.status, verify: attack.status } : attack.status;
    const restored = await inlineRestore(archive, canary.destination, attack.request);
    expectStatus(restored, restore, attack.says, "restdir");
    if (attack.inside !== undefined) expect(canary.inside()).toEqual(attack.inside);
    expectStatus(await inlineVerify(archive), verify, undefined, "verify");
    const listed = await inlineList(archive);
    if (attack.list !== undefined) expectStatus(listed, attack.list, undefined, "list");
    expect([0, 10, 11]).toContain(listed.status);
    canary.expectUntouched();
  } finally {
    canary.remove();
  }
  await expectContained(bytes, attack);
}

/** extract and salvage end as documented, and touch nothing outside of the destination. */
async function expectContained(bytes: Uint8Array, { plant, request }: Attack): Promise<void> {
  const canary = new Canary();
  const overwrite = request?.overwrite === true;
  try {
    const archive = canary.archive(bytes);
    const { destination } = canary;
    const runs: readonly [what: string, run: () => Promise<InlineResult>, statuses: readonly number[]][] = [
      ["extract", () => inlineExtract(archive, destination, overwrite), [0, 1, 2, 10, 11]],
      ["salvage", () => inlineSalvage(archive, { directory: destination }, { overwrite }), [0, 1, 10, 11]],
      [
        "salvage -o",
        () => inlineSalvage(archive, { directory: destination }, { overwrite: true, keepDamaged: true }),
        [0, 1, 10, 11],
      ],
      ["salvage --out", () => inlineSalvage(archive, { archive: join(destination, "new") }), [0, 1, 10, 11]],
    ];
    for (const [what, run, statuses] of runs) {
      plant?.(canary);
      const { status, error } = await run();
      expect(statuses, `${what}: ${error?.message}`).toContain(status);
      canary.expectUntouched();
      canary.empty();
    }
  } finally {
    canary.remove();
  }
}

function expectStatus(result: InlineResult, status: number, says: RegExp | undefined, what: string): void {
  const said = [result.error?.message ?? "no error", ...result.warnings.map(({ message }) => message)].join("\n");
  expect(result.status, `${what}: ${said}`).toBe(status);
  if (says !== undefined) expect(said).toMatch(says);
}
