// Somebody who may write in the destination changes it while root restores into it (docs/SAFETY.md; CVE-2026-53784 to 53797): directories become links to
// elsewhere, new entries become links. Nothing outside may change; that the restore fails is all they get.

import { spawn } from "node:child_process";
import { renameSync, rmSync, symlinkSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as breathe } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { EntryKind } from "../../src/model/entry.ts";
import { tsfsaArgv } from "../support/cli.ts";
import { directory, file, forge, type ForgedEntry, root } from "../support/forge.ts";
import { requireOrSkip } from "../support/require.ts";
import { Canary } from "./canary.ts";

requireOrSkip("root");

const directories = ["a", "b", "c", "d"];

describe("while a restore runs", () => {
  it("a directory that becomes a link leads nothing outside", async () => {
    const groups = [
      { blocks: directories.map((name, i) => ({ entries: [...(i === 0 ? [root] : []), ...tree(name)] })) },
    ];
    const archive = await forge({ groups });
    for (let round = 0; round < 2; round++) {
      await attack(archive, (canary, turn) => {
        const at = join(canary.destination, directories[(turn >> 1) % directories.length] as string);
        if (turn % 2 === 0) {
          renameSync(at, `${at}.moved`);
          symlinkSync("../../outside", at);
        } else {
          unlinkSync(at);
          renameSync(`${at}.moved`, at);
        }
      });
    }
  });

  it("a directory inside that becomes a link leads nothing outside", async () => {
    const groups = [
      { blocks: directories.map((name, i) => ({ entries: [...(i === 0 ? [root] : []), ...tree(name)] })) },
    ];
    const archive = await forge({ groups });
    await attack(archive, (canary, turn) => {
      const at = join(canary.destination, directories[turn % directories.length] as string, "inner");
      rmSync(at, { recursive: true, force: true });
      symlinkSync("../../../outside", at);
    });
  });

  it("a new entry that becomes a link does not lead its metadata outside", async () => {
    const count = 8000;
    const archive = await forge({
      groups: [{ blocks: [{ entries: [root, ...Array.from({ length: count }, (_, i) => fifo(i))] }] }],
    });
    let next = 0;
    await attack(archive, (canary) => {
      const at = join(canary.destination, `f${String(next).padStart(5, "0")}`);
      unlinkSync(at); // throws until it is there
      symlinkSync("../../outside/secret", at);
      next = Math.min(count - 1, next + 37);
    });
  });
});

/** Restores with the built CLI while `step` meddles, and expects a documented end and nothing changed outside. */
async function attack(archive: Buffer, step: (canary: Canary, turn: number) => void): Promise<void> {
  const canary = new Canary();
  try {
    const [program = "", ...words] = tsfsaArgv("restdir", "-q", "-j2", canary.archive(archive), canary.destination);
    const child = spawn(program, words, { stdio: "ignore" });
    const end: { status?: number | null } = {};
    const ended = new Promise<void>((resolve) => {
      child.once("exit", (code) => {
        end.status = code;
        resolve();
      });
    });
    let turns = 0;
    while (end.status === undefined) {
      for (let i = 0; i < 50; i++) {
        try {
          step(canary, turns);
          turns++;
        } catch {
          // Not there yet, or in the way of itself.
        }
      }
      await breathe();
    }
    await ended;
    expect([0, 1, 2]).toContain(end.status);
    expect(turns).toBeGreaterThan(0);
    canary.expectUntouched();
  } finally {
    canary.remove();
  }
}

function fifo(i: number): ForgedEntry {
  const name = `f${String(i).padStart(5, "0")}`;
  return { kind: EntryKind.fifo, depth: 1, name, mode: 0o4777, member: { uid: 1000 }, row: { uid: 1000 } };
}

function tree(name: string): ForgedEntry[] {
  return [directory(1, name), directory(2, "inner"), ...files("i", 3), ...files("z", 2)];
}

function files(prefix: string, depth: number): ForgedEntry[] {
  return Array.from({ length: 1000 }, (_, i) =>
    file(depth, `${prefix}${String(i).padStart(4, "0")}`, "planted", { mode: 0o4777 }),
  );
}
