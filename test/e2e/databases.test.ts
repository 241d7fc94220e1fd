// Real database servers on a loop-mounted file system, saved by savefs --snapshot while a client books transactions: on the restored data the server starts,
// recovers, and has every transaction that was acknowledged before the save began. The hooks are those of docs/SNAPSHOTS.md.

import { describe, expect, it } from "vitest";
import { expectStatus } from "../support/cli.ts";
import { Bookkeeper, type DatabaseKind, DatabaseServer, dataOf, mariadb, postgres } from "../support/databases.ts";
import { type Lab, recipes, withLab } from "../support/images.ts";
import { recordOf, restored } from "../support/load/save.ts";
import { requireOrSkip } from "../support/require.ts";

requireOrSkip("root", "loop", "databases");

const ext4 = { ...recipes.ext4, mkfs: [] };

/** Saves under load, restores, and starts a server on what came back. */
async function savedAndRestored(
  lab: Lab,
  kind: DatabaseKind,
  recipe: (typeof recipes)["btrfs"] | typeof ext4,
  words: (sockets: string) => readonly string[],
): Promise<{ readonly consistency: string; readonly said: string }> {
  const mounted = await lab.mount(await lab.filesystem(recipe));
  await DatabaseServer.initialize(kind, dataOf(mounted));
  const server = await DatabaseServer.start(kind, dataOf(mounted), lab.folder("sockets"));
  const archive = lab.path("archive");
  const again: DatabaseServer[] = [];
  try {
    await server.query(kind.schema);
    const keeper = new Bookkeeper(kind, server.sockets);
    await keeper.reach(40);
    const before = keeper.last;
    const { stdout } = await expectStatus(0, ["savefs", "--json", ...words(server.sockets), archive, mounted]);
    const after = keeper.last;
    // The lock is gone, nothing is frozen: the server goes on.
    await keeper.reach(after + 20);
    await keeper.stop();
    // PostgreSQL would find its own number in the copy of its lock file, and a process of that number.
    await server.kill();
    const recorded = recordOf(stdout);
    const instant = Date.parse(recorded.volumes[0]?.instant ?? "");
    const [copy = ""] = await restored(archive, 1, lab.path("copy"));
    const second = await DatabaseServer.start(kind, dataOf(copy), lab.folder("sockets"));
    again.push(second);
    const { ledgers, sum } = await second.books();
    for (const ledger of ledgers) {
      expect(ledger).toEqual(Array.from(ledger, (_, index) => index + 1));
      expect(ledger.length).toBeGreaterThanOrEqual(before);
      // What was acknowledged after the instant was not there; one may have been on its way.
      const acknowledged = keeper.acknowledged.filter(({ at }) => at <= instant).length;
      expect(ledger.length).toBeLessThanOrEqual(Math.max(acknowledged, before) + 1);
    }
    expect(sum).toBe(0);
    // The restored server takes new ones.
    await second.query(kind.transaction(1_000_000_000));
    return { consistency: recorded.consistency, said: second.said };
  } finally {
    for (const each of [...again, server]) await each.kill();
  }
}

describe("databases", () => {
  it("PostgreSQL on btrfs: a snapshot is what a power cut leaves, and the server recovers from it", async () => {
    await withLab(async (lab) => {
      const { consistency, said } = await savedAndRestored(lab, postgres, recipes.btrfs, () => ["--snapshot=btrfs"]);
      expect(consistency).toBe("crash");
      expect(said).toContain("redo done");
    });
  });

  it("PostgreSQL on a frozen ext4", async () => {
    await withLab(async (lab) => {
      const { said } = await savedAndRestored(lab, postgres, ext4, () => ["--snapshot=freeze"]);
      expect(said).toContain("redo done");
    });
  });

  it("MariaDB on btrfs, its tables locked by one session for the instant: MyISAM is whole, too", async () => {
    await withLab(async (lab) => {
      const { consistency, said } = await savedAndRestored(lab, mariadb, recipes.btrfs, (sockets) => [
        "--snapshot=btrfs",
        "--hold",
        `(echo "FLUSH TABLES WITH READ LOCK; SELECT 'ready';"; cat) | ${mariadb.client(sockets).join(" ")}`,
      ]);
      expect(consistency).toBe("quiesced");
      expect(said).not.toContain("crashed");
    });
  });
});
