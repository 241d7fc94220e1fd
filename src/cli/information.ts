// archinfo as text: what the archive is, then each source, then how to restore it without tsfsa.

import { escapeName, formatSize } from "../base/units.ts";
import type { Head, SourceDescription, SourceTotals, Summary } from "../model/archive.ts";
import type { ArchiveInformation } from "../model/options.ts";

type Row = readonly [name: string, value: string];

export function informationText(archive: string, information: ArchiveInformation): string {
  const { head, summary, archiveBytes, stockRestoreCommand } = information;
  const sections = [
    archiveRows(archive, head, summary, archiveBytes),
    ...head.sources.map((source, id) => sourceRows(id, source, summary?.sources[id])),
  ];
  return `${sections.map(table).join("\n")}\nrestore without tsfsa, metadata as far as tar carries it:\n  ${harmless(withName(stockRestoreCommand, archive))}\n`;
}

/** The command for this very archive, where its name needs no quotes. */
function withName(command: string, archive: string): string {
  return /^[\w./+@][\w./+@-]*$/.test(archive) ? command.replace("ARCHIVE", archive) : command;
}

function archiveRows(
  archive: string,
  head: Head,
  summary: Summary | undefined,
  archiveBytes: number | undefined,
): Row[] {
  const level = head.level === 0 ? "stored (zstd frames of raw blocks)" : `${head.codec} level ${head.level}`;
  const rows: Row[] = [
    ["archive", archive === "-" ? "standard input" : harmless(archive)],
    ["label", head.label === "" ? "none" : harmless(head.label)],
    ["created", `${harmless(head.created)} by ${harmless(head.creator)}`],
    ["id", head.archiveId],
    ["format", `version ${head.format}, readable from version ${head.oldestReader}`],
    ["compression", `${level}, blocks of ${formatSize(head.blockSize)}, digests ${head.digest}`],
  ];
  if (archiveBytes !== undefined) rows.push(["size", bytesText(archiveBytes)]);
  if (summary === undefined) {
    rows.push(["content", "unknown: read from a pipe, or the end of the archive is missing (tsfsa verify tells)"]);
  } else {
    rows.push([
      "content",
      `${count(summary.entries)} entries in ${count(summary.blocks)} blocks, ${count(summary.members)} tar members`,
    ]);
  }
  return rows;
}

function sourceRows(id: number, source: SourceDescription, totals: SourceTotals | undefined): Row[] {
  const { image } = source;
  const { filesystem } = image ?? source;
  const rows: Row[] = [
    [`source ${id}`, `${kindText(source)} ${harmless(source.origin)}`],
    ["members", harmless(source.prefix)],
  ];
  if (image !== undefined) {
    const blocks = image.doubt === null ? "those in use" : `all: ${harmless(image.doubt)}`;
    const needed = image.endBytes === image.sizeBytes ? "" : `, needs ${bytesText(image.endBytes)}`;
    rows.push(["image", `${harmless(image.file)}, ${bytesText(image.sizeBytes)}${needed}`], ["blocks", blocks]);
  }
  if (filesystem !== undefined) {
    const label =
      filesystem.labelBase64 === undefined
        ? harmless(filesystem.label ?? "")
        : escapeName(Buffer.from(filesystem.labelBase64, "base64"));
    rows.push(
      ["label", label === "" ? "none" : label],
      ["uuid", harmless(filesystem.uuid ?? "none")],
      [
        "capacity",
        `${bytesText(filesystem.sizeBytes)}, ${formatSize(filesystem.usedBytes)} used, blocks of ${formatSize(filesystem.blockSize)}`,
      ],
    );
  }
  if (totals !== undefined) rows.push(["entries", entriesText(totals)], ["bytes", contentText(totals)]);
  return rows;
}

function kindText({ filesystem, image }: SourceDescription): string {
  if (image !== undefined) return `image of ${image.type === null ? "unknown content" : harmless(image.type)},`;
  return filesystem === undefined ? "directory" : `${harmless(filesystem.type)} file system`;
}

const kinds = [
  ["files", "file", "files"],
  ["directories", "directory", "directories"],
  ["symlinks", "symlink", "symlinks"],
  ["hardlinks", "hard link", "hard links"],
  ["devices", "device", "devices"],
  ["fifos", "fifo", "fifos"],
  ["sockets", "socket", "sockets"],
] as const;

function entriesText(totals: SourceTotals): string {
  const shown = kinds
    .filter(([kind]) => totals[kind] > 0)
    .map(([kind, one, many]) => `${count(totals[kind])} ${totals[kind] === 1 ? one : many}`);
  const marks: string[] = [];
  if (totals.subvolumes > 0) shown.push(`of the directories ${count(totals.subvolumes)} are btrfs subvolumes`);
  if (totals.absent > 0) marks.push(`${count(totals.absent)} not saved`);
  if (totals.changed > 0) marks.push(`${count(totals.changed)} changed while being read`);
  if (totals.damaged > 0) marks.push(`${count(totals.damaged)} with parts that could not be read`);
  if (totals.attributesLost > 0) marks.push(`${count(totals.attributesLost)} without all of their attributes`);
  return `${count(totals.entries)}: ${[...shown, ...marks].join(", ")}`;
}

function contentText({ bytes, dataBytes }: SourceTotals): string {
  return dataBytes === bytes ? bytesText(bytes) : `${bytesText(bytes)}, ${formatSize(dataBytes)} without holes`;
}

function bytesText(bytes: number): string {
  return bytes < 1024 ? `${bytes} bytes` : `${formatSize(bytes)} (${count(bytes)} bytes)`;
}

function table(rows: readonly Row[]): string {
  return rows.map(([name, value]) => `${name.padEnd(13)}${value}\n`).join("");
}

function count(number: number): string {
  return number.toLocaleString("en-US");
}

/** Text out of an archive, safe on a terminal. */
function harmless(text: string): string {
  return escapeName(Buffer.from(text));
}
