import { describe, expect, it } from "vitest";
import { modeText, rowJson, rowText, timeText } from "../../src/cli/listing.ts";
import type { CatalogRow } from "../../src/model/catalog.ts";
import { EntryKind } from "../../src/model/entry.ts";
import type { ListedEntry } from "../../src/model/options.ts";
import { catalogRow } from "../support/rows.ts";
import { bytes } from "./fake-host.ts";

function entry(path: string, fields: Partial<CatalogRow> = {}, link?: string): ListedEntry {
  const found = { source: 0, number: 3, path: bytes(path), row: catalogRow(fields) };
  return link === undefined ? found : { ...found, linkPath: bytes(link) };
}

describe("the mode of a row", () => {
  it.each<[EntryKind, number, string]>([
    [EntryKind.file, 0o644, "-rw-r--r--"],
    [EntryKind.directory, 0o1777, "drwxrwxrwt"],
    [EntryKind.directory, 0o1770, "drwxrwx--T"],
    [EntryKind.file, 0o4755, "-rwsr-xr-x"],
    [EntryKind.file, 0o4655, "-rwSr-xr-x"],
    [EntryKind.file, 0o2711, "-rwx--s--x"],
    [EntryKind.file, 0o2701, "-rwx--S--x"],
    [EntryKind.symlink, 0o777, "lrwxrwxrwx"],
    [EntryKind.hardlink, 0, "h---------"],
    [EntryKind.charDevice, 0o600, "crw-------"],
    [EntryKind.blockDevice, 0o660, "brw-rw----"],
    [EntryKind.fifo, 0o600, "prw-------"],
    [EntryKind.socket, 0o755, "srwxr-xr-x"],
    [EntryKind.absent, 0o600, "?rw-------"],
  ])("of kind %i and bits %i is %s", (kind, mode, text) => {
    expect(modeText(kind, mode)).toBe(text);
  });
});

describe("the time of a row", () => {
  it.each([
    [0, "1970-01-01T00:00:00Z"],
    [-1, "1969-12-31T23:59:59Z"],
    [4_294_967_296, "2106-02-07T06:28:16Z"],
    [-70_000_000_000, "-000249-10-15T19:33:20Z"],
    [9_000_000_000_000, "@9000000000000"],
  ])("%i is %s, in UTC and whole seconds", (seconds, text) => {
    expect(timeText({ seconds, nanoseconds: 999_999_999 })).toBe(text);
  });
});

describe("a row as text", () => {
  it("is that of ls -l with numeric ids", () => {
    const fields = { mode: 0o640, uid: 1000, gid: 4, size: 63_968, mtime: { seconds: 1_795_268_233, nanoseconds: 5 } };
    expect(rowText(entry("usr/bin/passwd", fields))).toBe(
      "-rw-r-----  1000     4        63968 2026-11-21T13:37:13Z usr/bin/passwd",
    );
  });

  it("shows device numbers in the place of a size", () => {
    expect(rowText(entry("dev/sda", { kind: EntryKind.blockDevice, device: { major: 8, minor: 1 } }))).toMatch(
      / {8}8, 1 1970.* dev\/sda$/,
    );
  });

  it("shows where links lead, every name harmless for a terminal", () => {
    const target = bytes("\u001b]0;x\u0007");
    expect(rowText(entry("a\nb", { kind: EntryKind.symlink, symlinkTarget: target }))).toMatch(
      /Z a\\nb -> \\033\]0;x\\a$/,
    );
    expect(rowText(entry("h", { kind: EntryKind.hardlink, linkEntry: 1 }, "a\rb"))).toMatch(/Z h link to a\\rb$/);
    expect(rowText(entry("h", { kind: EntryKind.hardlink, linkEntry: 17 }))).toMatch(/Z h link to entry 17$/);
  });

  it("says what is not whole", () => {
    expect(rowText(entry("a", { kind: EntryKind.absent, absentReason: "EIO: i/o error" }))).toMatch(
      / a \(not saved: EIO: i\/o error\)$/,
    );
    expect(rowText(entry("a", { changed: true, damaged: true, attributesLost: true }))).toMatch(
      / a \(changed while it was read\) \(parts could not be read\) \(attributes missing\)$/,
    );
  });

  it("takes the reason of an absence for foreign text", () => {
    expect(rowText(entry("a", { kind: EntryKind.absent, absentReason: "\u001b[2J" }))).not.toContain("\u001b");
  });
});

function json(listed: ListedEntry): unknown {
  return JSON.parse(JSON.stringify(rowJson(listed)));
}

describe("a row as JSON", () => {
  it("has exact times and numbers, and no field without meaning", () => {
    expect(json(entry("f", { size: 5, mtime: { seconds: -2, nanoseconds: 500_000_000 }, sparse: true }))).toEqual({
      type: "entry",
      source: 0,
      number: 3,
      path: "f",
      kind: "file",
      mode: 420,
      uid: 0,
      gid: 0,
      size: 5,
      mtime: { seconds: -2, nanoseconds: 500_000_000 },
      atime: { seconds: 0, nanoseconds: 0 },
      inodeFlags: 0,
      projectId: 0,
      flags: ["sparse"],
    });
  });

  it("gives bytes that are not UTF-8 in base64", () => {
    const fields = { kind: EntryKind.symlink, symlinkTarget: Uint8Array.of(0xff) };
    const listed = { ...entry("", fields), path: Uint8Array.of(0xfe), linkPath: Uint8Array.of(0xfd) };
    expect(json(listed)).toMatchObject({
      pathBase64: "/g==",
      targetBase64: "/w==",
      linkBase64: "/Q==",
      kind: "symlink",
    });
  });
});
