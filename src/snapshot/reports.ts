// What lvs and dmsetup answer, as values. Pure.

import { TsfsaError } from "../base/errors.ts";

/** Fields that are asked of lvs, always with `--units b --nosuffix`. */
const lvsFields = [
  "vg_name",
  "lv_name",
  "lv_attr",
  "segtype",
  "origin",
  "pool_lv",
  "lv_size",
  "vg_free",
  "vg_extent_size",
  "lv_tags",
  "data_percent",
  "metadata_percent",
  "lv_snapshot_invalid",
  "lv_dm_path",
] as const;

export const lvsWords: readonly string[] = [
  "--reportformat",
  "json",
  "--units",
  "b",
  "--nosuffix",
  "-o",
  lvsFields.join(","),
];

export interface LogicalVolume {
  readonly group: string;
  readonly name: string;
  /** Ten letters (lvs(8)). */
  readonly attributes: string;
  readonly segmentType: string;
  readonly origin: string;
  readonly pool: string;
  readonly sizeBytes: number;
  readonly groupFreeBytes: number;
  readonly extentBytes: number;
  readonly tags: readonly string[];
  /** Of a pool or snapshot, 0 to 100. */
  readonly dataPercent: number;
  readonly metadataPercent: number;
  readonly invalid: boolean;
  readonly path: string;
}

/** The report of lvs; a volume of several segments counts once. Throws TOOL_FAILED for what is not one. */
export function parseLvs(text: string): LogicalVolume[] {
  let rows: Record<string, string>[];
  try {
    const { report } = JSON.parse(text) as { readonly report: readonly { readonly lv?: Record<string, string>[] }[] };
    rows = report.flatMap(({ lv }) => lv ?? []);
  } catch (cause) {
    throw new TsfsaError("TOOL_FAILED", "lvs gave something else than its JSON report", { command: ["lvs"], cause });
  }
  const seen = new Set<string>();
  return rows.flatMap((row) => {
    const id = `${row["vg_name"]}/${row["lv_name"]}`;
    if (seen.has(id)) return [];
    seen.add(id);
    const get = (field: (typeof lvsFields)[number]): string => row[field] ?? "";
    return [
      {
        group: get("vg_name"),
        name: get("lv_name"),
        attributes: get("lv_attr"),
        segmentType: get("segtype"),
        origin: get("origin"),
        pool: get("pool_lv"),
        sizeBytes: Number(get("lv_size")),
        groupFreeBytes: Number(get("vg_free")),
        extentBytes: Number(get("vg_extent_size")),
        tags: get("lv_tags")
          .split(",")
          .filter((tag) => tag !== ""),
        dataPercent: Number(get("data_percent")),
        metadataPercent: Number(get("metadata_percent")),
        invalid: get("lv_snapshot_invalid") === "snapshot invalid" || get("lv_attr")[4] === "I",
        path: get("lv_dm_path"),
      },
    ];
  });
}

export type SnapshotStatus =
  | { readonly valid: true; readonly usedBytes: number; readonly storeBytes: number; readonly metadataBytes: number }
  | { readonly valid: false; readonly reason: string };

/** `0 819200 snapshot 9328/204800 48`, or `… Invalid`, `Overflow`, `Merge failed`, `Unknown` (dm-snap.c, snapshot_status). Also of snapshot-merge. */
export function parseSnapshotStatus(text: string): SnapshotStatus {
  const [, , target, fill = "", metadata = "", ...rest] = text.trim().split(/\s+/);
  const [used, store] = fill.split("/").map(Number);
  if (
    (target !== "snapshot" && target !== "snapshot-merge") ||
    used === undefined ||
    store === undefined ||
    Number.isNaN(used)
  ) {
    const said = [fill, metadata, ...rest].join(" ").trim();
    return {
      valid: false,
      reason:
        target === "snapshot" ? `the kernel says: ${said}` : `it is no snapshot any more (${target ?? "no table"})`,
    };
  }
  return { valid: true, usedBytes: used * 512, storeBytes: store * 512, metadataBytes: Number(metadata) * 512 };
}

export interface PoolStatus {
  /** 0 to 1. */
  readonly dataShare: number;
  readonly metadataShare: number;
  readonly usedBytes: number;
  readonly storeBytes: number;
  /** `rw`, `ro`, `out_of_data_space`, or `Fail`, `Error`. */
  readonly mode: string;
  readonly needsCheck: boolean;
}

/** `0 1228800 thin-pool 2 116/1024 472/9600 - rw discard_passdown queue_if_no_space - 256` (thin-provisioning.rst). */
export function parsePoolStatus(text: string): PoolStatus | undefined {
  const [, lengthText, target, , metadata = "", data = "", , mode, , , check] = text.trim().split(/\s+/);
  if (target !== "thin-pool") return undefined;
  const [usedMetadata, allMetadata] = metadata.split("/").map(Number);
  const [usedData, allData] = data.split("/").map(Number);
  if (usedMetadata === undefined || allMetadata === undefined || usedData === undefined || allData === undefined) {
    return { dataShare: 1, metadataShare: 1, usedBytes: 0, storeBytes: 0, mode: metadata || "Fail", needsCheck: true };
  }
  const storeBytes = Number(lengthText) * 512;
  return {
    dataShare: usedData / allData,
    metadataShare: usedMetadata / allMetadata,
    usedBytes: Math.round((storeBytes * usedData) / allData),
    storeBytes,
    mode: mode ?? "Fail",
    needsCheck: check === "needs_check",
  };
}

/** Columns of `dmsetup info -c`, always with a tab between them. */
export const mappedWords: readonly string[] = [
  "info",
  "-c",
  "--noheadings",
  "--separator",
  "\t",
  "-o",
  "name,uuid,attr,names_using_dev",
];

export interface Mapped {
  readonly name: string;
  readonly uuid: string;
  /** It is suspended, or a table waits to become active. */
  readonly isPending: boolean;
  /** Devices whose active tables are over it. */
  readonly users: readonly string[];
}

/** `data\t\tL--w\tone,two`: Live, Inactive, suspended, writable (dmsetup(8)). */
export function parseMapped(text: string): Mapped[] {
  return text.split("\n").flatMap((line) => {
    const [name = "", uuid = "", attributes, users = ""] = line.split("\t");
    if (attributes === undefined) return [];
    const isPending = attributes[1] === "I" || attributes[2] === "s";
    return [{ name, uuid, isPending, users: users.split(",").filter((user) => user !== "") }];
  });
}

/** The name device-mapper has for `vg/lv[-layer]`: hyphens doubled (lib/misc/lvm-string.c, build_dm_name). */
export function mapperName(group: string, name: string, layer?: string): string {
  const doubled = [group, name].map((each) => each.replaceAll("-", "--")).join("-");
  return layer === undefined ? doubled : `${doubled}-${layer}`;
}

/** Length in sectors of a table of one or more lines. */
export function tableSectors(table: string): number {
  const last = table.trim().split("\n").at(-1)?.split(" ") ?? [];
  const sectors = Number(last[0]) + Number(last[1]);
  if (!Number.isInteger(sectors) || sectors <= 0) {
    throw new TsfsaError("TOOL_FAILED", "dmsetup gave something else than a table", { command: ["dmsetup", "table"] });
  }
  return sectors;
}
