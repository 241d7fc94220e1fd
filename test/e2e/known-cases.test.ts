// Cases that once went wrong, each with a whole command: archives on block devices, destinations that cannot be written, lists of files, -v.

import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { expectStatus, jsonLines, jsonPath, tsfsa, tsfsaArgv } from "../support/cli.ts";
import { warningsOf } from "../support/faults.ts";
import { withLab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { must, run } from "../support/run.ts";
import { bytes, directory, file, link, noise, symlink } from "../support/trees.ts";
import { buildTree } from "../support/trees.ts";

requireOrSkip("root", "loop");

const MiB = 1024 * 1024;
const twin = file("two names");
const tree = directory({
  a: directory({ deep: file(noise(2 * MiB, 1)), twin }, { xattrs: [[bytes("user.d"), bytes("1")]] }),
  b: file("b"),
  link: symlink("b"),
  other: link(twin),
});
const paths = ["", "a", "a/deep", "a/twin", "b", "link", "other"];

describe("an archive on a block device", () => {
  it("ends at its footer, whatever the device held behind it", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      await buildTree(source, tree);
      const image = lab.path("tape.img");
      writeFileSync(image, noise(8 * MiB, 7));
      const device = await lab.attach(image);
      const save = ["savedir", "-q", "-A", "-z0", "-", source];
      await must([
        "bash",
        "-c",
        'set -o pipefail; d=$1; shift; "$@" | dd of="$d" bs=1M status=none',
        "bash",
        device,
        ...tsfsaArgv(...save),
      ]);
      await expectStatus(0, ["verify", device]);
      await expectStatus(0, ["verify", "--quick", device]);
      const listed = jsonLines((await expectStatus(0, ["list", "--json", device])).stdout);
      expect(listed.filter(({ type }) => type === "entry").map(jsonPath)).toEqual(paths);
      await expectStatus(0, ["restdir", device, lab.folder("out")]);
      // In a file, bytes behind the end are damage.
      const copy = lab.path("a.tsfsa");
      await must(["cp", "--sparse=never", device, copy]);
      await expectStatus(10, ["verify", copy]);
    });
  });
});

describe("a destination that cannot be written", () => {
  it("is refused with one sentence and status 2, before anything is restored", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      await buildTree(source, tree);
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savedir", "-q", "-A", archive, source]);
      await must(["chmod", "0644", archive]); // for the ordinary user
      const readOnly = await lab.bind(lab.folder("target"), { readOnly: true });
      const immutable = lab.folder("immutable");
      const ext = await lab.mount(await lab.filesystem({ name: "x", type: "ext4", sizeBytes: 16 * MiB, mkfs: [] }));
      const fixed = join(ext, "fixed");
      await must(["mkdir", fixed]);
      await must(["chattr", "+i", fixed]);
      const foreign = lab.folder("foreign");
      await must(["chmod", "0755", foreign]);
      for (const [destination, uid] of [
        [readOnly, undefined],
        [fixed, undefined],
        [foreign, 1000],
      ] as const) {
        const result = await tsfsa(["restdir", archive, destination], uid === undefined ? {} : { uid });
        expect(result.status, result.stderr).toBe(2);
        expect(result.stderr.match(/^tsfsa: .*/gm), result.stderr).toEqual([
          expect.stringMatching(/^tsfsa: cannot write into the destination .*: E[A-Z]+$/),
        ]);
        expect(result.stderr).not.toMatch(/warning/);
        expect(readdirSync(destination)).toEqual([]);
      }
      await must(["chattr", "-i", fixed]);
      await expectStatus(0, ["restdir", archive, immutable]);
    });
  });
});

describe("--files-from", () => {
  it("names paths that do not exist, in whichever source, with status 1, and saves the others", async () => {
    await withLab(async (lab) => {
      const [first, second] = [lab.folder("one"), lab.folder("two")];
      await buildTree(first, directory({ a: file("a"), gone: directory({ away: file("x") }) }));
      await buildTree(second, directory({ b: file("b"), left: directory({ out: file("y") }) }));
      const list = lab.path("list");
      writeFileSync(list, "a\nb\nmissing\nleft/nothing/here\ngone/away\n");
      const archive = lab.path("a.tsfsa");
      const result = await tsfsa([
        "savedir",
        "--json",
        "-A",
        "-e",
        "/gone",
        "--files-from",
        list,
        archive,
        first,
        second,
      ]);
      expect(result.status).toBe(1);
      expect(warningsOf(result)).toEqual(
        ["missing", "left/nothing/here", "gone/away"].map((path) => ({ path, code: "ENTRY_NOT_FOUND" })),
      );
      const listed = jsonLines((await expectStatus(0, ["list", "--json", archive])).stdout);
      const found = listed.filter(({ type }) => type === "entry").map(jsonPath);
      expect(found).toEqual(["", "a", "", "b", "left"]);
      writeFileSync(list, "a\nb\n");
      await expectStatus(0, ["savedir", "-A", "--files-from", list, lab.path("b.tsfsa"), first, second]);
    });
  });
});

describe("-v", () => {
  it("names each entry once, in order, when it is saved, verified or restored, and none without it", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      await buildTree(source, tree);
      const archive = lab.path("a.tsfsa");
      const named = async (words: readonly string[]): Promise<string[]> => {
        const { stdout } = await expectStatus(0, words);
        return jsonLines(stdout)
          .filter(({ type }) => type === "entry")
          .map(jsonPath);
      };
      expect(await named(["savedir", "--json", "-v", "-A", "-j2", "--block-size", "1MiB", archive, source])).toEqual(
        paths,
      );
      expect(await named(["verify", "--json", "-v", archive])).toEqual(paths);
      expect(await named(["restdir", "--json", "-v", archive, lab.folder("out")])).toEqual(paths);
      expect(await named(["verify", "--json", archive])).toEqual([]);
      const text = await run([...tsfsaArgv("restdir", "-v", archive, lab.folder("text"))]);
      expect(text.stderr.split("\n")).toEqual(expect.arrayContaining(["a/deep", "other"]));
    });
  });
});
