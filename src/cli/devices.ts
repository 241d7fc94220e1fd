// What probe found, as a table for people and as objects for --json.

import { escapeName, formatSize, pathJson } from "../base/units.ts";
import type { ProbedDevice, ProbedMount } from "../filesystem/types.ts";

const titles = ["DEVICE", "KIND", "TYPE", "LABEL", "UUID", "SIZE", "USED", "WRITABLE", "SNAPSHOT", "MOUNTED, HELD BY"];
/** Columns of numbers. */
const rightAligned = new Set([5, 6]);

/** Aligned columns, then a line for each file system that no snapshot method fits although somebody can write it. */
export function deviceTable(devices: readonly ProbedDevice[]): string {
  const rows = [titles, ...devices.map(cells)];
  const widths = titles.map((_, column) => Math.max(...rows.map((row) => (row[column] as string).length)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) =>
        rightAligned.has(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join("  ")
      .trimEnd(),
  );
  const notes = devices
    .filter(({ snapshot, writable, mounts }) => snapshot.method === "none" && writable && mounts.length > 0)
    .map(({ path, snapshot }) => `${shown(path)}: no snapshot: ${snapshot.reason}`);
  const unread = devices.filter(({ readable }) => !readable).map(({ path }) => shown(path));
  if (unread.length > 0) notes.push(`could not be read: ${unread.join(", ")}`);
  return `${[...lines, ...notes].join("\n")}\n`;
}

function cells(device: ProbedDevice): string[] {
  const { path, kind, readable, type, uuid, sizeBytes, usedBytes, writable, snapshot, mounts, heldBy } = device;
  return [
    shown(path),
    kind,
    type ?? (readable ? "-" : "?"),
    labelText(device),
    uuid ?? "-",
    formatSize(sizeBytes),
    usedBytes === null ? "-" : formatSize(usedBytes),
    writable ? "yes" : "no",
    snapshot.method === "none" ? "-" : snapshot.method,
    [...mounts.map(mountText), ...heldBy.map(shown)].join(", "),
  ];
}

function labelText({ label, labelBase64 }: ProbedDevice): string {
  const bytes = Buffer.from(labelBase64 ?? label ?? "", labelBase64 === undefined ? "utf8" : "base64");
  return bytes.length === 0 ? "-" : escapeName(bytes);
}

/** `/home`, `/srv (root /@srv)`, `/x (process 123)`. */
function mountText({ mountPoint, root, pid }: ProbedMount): string {
  const remarks = [
    ...(Buffer.from(root).equals(slash) ? [] : [`root ${escapeName(root)}`]),
    ...(pid === 0 ? [] : [`process ${pid}`]),
  ];
  return escapeName(mountPoint) + (remarks.length === 0 ? "" : ` (${remarks.join(", ")})`);
}

const slash = Buffer.from("/");

function shown(text: string): string {
  return escapeName(Buffer.from(text));
}

/** What it holds is `holds` here, since `type` names the kind of object. */
export function deviceJson({ type, mounts, ...device }: ProbedDevice): object {
  return {
    type: "device",
    ...device,
    holds: type,
    mounts: mounts.map(({ mountPoint, root, writable, pid }) => ({
      ...pathJson(mountPoint),
      ...rootJson(root),
      writable,
      ...(pid === 0 ? {} : { process: pid }),
    })),
  };
}

function rootJson(bytes: Uint8Array): object {
  const found = pathJson(bytes);
  return "path" in found ? { root: found.path } : { rootBase64: found.pathBase64 };
}
