import { describe, expect, it } from "vitest";
import { informationText } from "../../src/cli/information.ts";
import { head, summary } from "./fake-host.ts";

const stockRestoreCommand = "zstd -dc ARCHIVE | tar -xpf -";

describe("archinfo as text", () => {
  it("says what the archive is, what each source was, and how to restore it without tsfsa", () => {
    expect(informationText("a.tsfsa", { head, summary, archiveBytes: 2_097_152, stockRestoreCommand })).toBe(
      `archive      a.tsfsa
label        nightly
created      2026-11-21T13:37:13Z by tsfsa 0.1.0
id           00112233445566778899aabbccddeeff
format       version 1, readable from version 1
compression  zstd level 3, blocks of 4 MiB, digests xxh128
size         2 MiB (2,097,152 bytes)
content      14 entries in 3 blocks, 13 tar members

source 0     ext4 file system /dev/sda2
members      0/
label        root
uuid         1b4e28ba-2fa1-11d2-883f-0016d3cca427
capacity     20 GiB (21,474,836,480 bytes), 1.2 GiB used, blocks of 4 KiB
entries      7: 4 files, 2 directories, 1 symlink
bytes        4 MiB (4,194,304 bytes)

source 1     directory /srv/a\\033[31m
members      1/
entries      7: 4 files, 2 directories, 1 symlink, 2 hard links, 1 not saved, 1 changed while being read
bytes        4 MiB (4,194,304 bytes), 4 KiB without holes

restore without tsfsa, metadata as far as tar carries it:
  zstd -dc a.tsfsa | tar -xpf -
`,
    );
  });

  it("says so when the end of the archive is not at hand", () => {
    const text = informationText("-", { head, stockRestoreCommand });
    expect(text).toContain("  zstd -dc ARCHIVE | tar -xpf -\n");
    expect(text).toContain("archive      standard input\n");
    expect(text).toContain("content      unknown: ");
    expect(text).not.toContain("size  ");
  });

  it("shows a label that is not UTF-8, and names a store archive one", () => {
    const [source] = head.sources;
    if (source?.filesystem === undefined) throw new Error("the fixture has a file system");
    const filesystem = { ...source.filesystem, label: null, labelBase64: "/wo=", uuid: null };
    const text = informationText("a", {
      head: { ...head, level: 0, label: "", sources: [{ ...source, filesystem }] },
      stockRestoreCommand,
    });
    expect(text).toContain("label        \\377\\n\nuuid         none\n");
    expect(text).toContain("label        none\n");
    expect(text).toContain("compression  stored");
  });
});
