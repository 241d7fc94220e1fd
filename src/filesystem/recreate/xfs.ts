// Plans xfs: one run of mkfs.xfs, always version 5. Options are kept by section and key, since mkfs.xfs refuses one given twice.

import { TsfsaError } from "../../base/errors.ts";
import { formatSize } from "../../base/units.ts";
import type { PlanContext, TypePlan } from "./context.ts";
import { sizeMax, Values } from "./values.ts";

const MiB = 1024 * 1024;
/** mkfs.xfs(8), since xfsprogs 6.0: the data section needs 300 MiB, the log 64 MiB within one allocation group. */
const sizeBytesMin = 300 * MiB;
const logBytesMin = 64 * MiB;
const logBytesMax = 2 ** 31 - MiB;
/** Beside the log, an allocation group has headers, roots of trees and reserves. */
const groupRoomBytes = 4 * MiB;
const agBytesMin = logBytesMin + groupRoomBytes;
/** xfs_format.h XFS_AG_MAX_BYTES. */
const agBytesMax = 2 ** 40;

type Sections = Map<string, Map<string, string>>;

export function planXfs(context: PlanContext): TypePlan {
  const { description, sizeBytes, sectorSize, label, uuid, warnings } = context;
  if (sizeBytes < sizeBytesMin) {
    throw new TsfsaError(
      "TARGET_TOO_SMALL",
      `xfs needs at least ${formatSize(sizeBytesMin)}, the target has ${formatSize(sizeBytes)}`,
    );
  }
  const fromXfs = description.type === "xfs";
  const values = new Values(description.type, fromXfs ? description.parameters : {});
  const blockSize = fromXfs ? description.blockSize : 4096;
  const sections: Sections = new Map();
  const set = (section: string, key: string, value: string | number) => {
    const keys = sections.get(section) ?? new Map<string, string>();
    sections.set(section, keys.set(key, `${value}`));
  };
  set("-b", "size", blockSize);
  const sector = Math.max(
    sectorSize,
    values.powerOfTwo("sectorSizeBytes", 512, 32_768, Math.min(sectorSize, blockSize)),
  );
  set("-s", "size", sector);
  set("-m", "crc", 1);
  set("-m", "uuid", uuid);
  setFeatures(context, values, fromXfs, set);
  const inodeSize = values.powerOfTwo("inodeSizeBytes", 256, 2048, 512);
  if (inodeSize < 512) warnings.push(`the inode size becomes 512 instead of ${inodeSize}: version 5 needs it`);
  set("-i", "size", Math.max(512, inodeSize));
  if (fromXfs) set("-i", "maxpct", values.integer("inodePercentMax", 0, 100, 25));
  set("-n", "size", values.powerOfTwo("directoryBlockSizeBytes", blockSize, 65_536, Math.max(blockSize, 4096)));
  setGeometry(context, values, blockSize, set);
  const words = mergeUser(sections, context.mkfsOptions);
  return {
    commands: [{ program: "mkfs.xfs", arguments: ["-q", "-f", ...(label.length > 0 ? ["-L", label] : []), ...words] }],
  };
}

type Setter = (section: string, key: string, value: string | number) => void;

/** [feature, section, default for a file system that was no version 5]. The order is that of dependence. */
const features: readonly (readonly [string, string, boolean])[] = [
  ["finobt", "-m", true],
  ["rmapbt", "-m", false],
  ["reflink", "-m", true],
  ["inobtcount", "-m", true],
  ["bigtime", "-m", true],
  ["sparse", "-i", true],
  ["nrext64", "-i", false],
  ["exchange", "-i", false],
  ["parent", "-n", false],
];

function setFeatures(context: PlanContext, values: Values, fromXfs: boolean, set: Setter): void {
  const { support, warnings } = context;
  const version = values.integer("version", 4, 5, 5);
  const has = new Set(values.words("features"));
  const keep = fromXfs && version === 5;
  if (version === 4) warnings.push("xfs version 4 becomes version 5: version 4 is deprecated");
  for (const [name, section, isDefault] of features) {
    const wanted = keep ? has.has(name) : isDefault;
    if (support.knows(name)) set(section, name, wanted ? 1 : 0);
    else if (wanted && keep) warnings.push(`the feature ${name} is not kept: the installed mkfs.xfs is too old for it`);
  }
  set("-n", "ftype", 1); // part of version 5
  if (has.has("ascii-ci")) set("-n", "version", "ci");
  const ours = new Set([...features.map(([name]) => name), "crc", "ftype", "ascii-ci"]);
  const ignored = new Set(["meta_uuid", "needsrepair", "lazy-count", "attr2", "projid32bit"]);
  for (const name of has) {
    if (!ours.has(name) && !ignored.has(name)) warnings.push(`the feature ${name} is not kept: it is not known`);
  }
}

/**
 * Stripes and log are kept where they fit. The allocation groups are as large as they were where the size is the same, else as many, as long as each
 * can hold the log and is not larger than xfs allows; the rest is mkfs.xfs's choice.
 */
function setGeometry(context: PlanContext, values: Values, blockSize: number, set: Setter): void {
  const { warnings, description } = context;
  const fromXfs = description.type === "xfs";
  const unit = values.integer("stripeUnitBlocks", 0, 2 ** 31, 0) * blockSize;
  const width = values.integer("stripeWidthBlocks", 0, 2 ** 31, 0) * blockSize;
  const isStriped = unit > 0 && width > 0 && width % unit === 0;
  if (isStriped) {
    set("-d", "su", unit);
    set("-d", "sw", width / unit);
  } else if (fromXfs) {
    set("-d", "noalign", "");
  }
  const groupBytes = setGroups(context, values, blockSize, isStriped, set);
  const logBytes = values.integer("logBlocks", 0, 2 ** 31, 0) * blockSize;
  if (values.boolean("externalLog")) warnings.push("the log on another device becomes one inside the file system");
  else if (logBytes >= logBytesMin && logBytes <= logBytesMax && logBytes + groupRoomBytes <= groupBytes) {
    set("-l", "size", logBytes);
  } else if (logBytes > 0) {
    warnings.push(`the log's size of ${formatSize(logBytes)} is not kept: mkfs.xfs chooses one that fits`);
  }
  const logUnit = values.integer("logStripeUnitBytes", 0, 262_144, 0);
  if (logUnit >= blockSize && logUnit % blockSize === 0) set("-l", "su", logUnit);
  if (values.integer("realtimeBlocks", 0, sizeMax, 0) > 0) warnings.push("the realtime section is not kept");
  const quotas = values.words("quotaTypes");
  if (quotas.length > 0) warnings.push(`the limits of quotas (${quotas.join(", ")}) are not kept`);
}

/** Returns the bytes each allocation group will have at least. */
function setGroups(
  { sizeBytes, warnings, description }: PlanContext,
  values: Values,
  blockSize: number,
  isStriped: boolean,
  set: Setter,
): number {
  const targetBlocks = Math.floor(sizeBytes / blockSize);
  const count = values.integer("agCount", 0, 2 ** 31, 0);
  const sameBytes = values.integer("agBlocks", 0, 2 ** 31, 0) * blockSize;
  if (targetBlocks === values.integer("blockCount", 0, sizeMax, 0) && sameBytes >= agBytesMin) {
    set("-d", "agsize", sameBytes);
    return sameBytes;
  }
  const groupBytes = Math.floor(sizeBytes / Math.max(1, count));
  if (count > 0 && groupBytes >= agBytesMin && groupBytes < agBytesMax) {
    set("-d", "agcount", count);
    return groupBytes;
  }
  if (description.type === "xfs" && count > 0) {
    const why = groupBytes < agBytesMin ? "small for a log of today" : "large";
    warnings.push(`the number of allocation groups, ${count}, is not kept: on this target they would be too ${why}`);
  }
  // What mkfs.xfs would choose where there are stripes may be too small for a log.
  const chosen = Math.max(1, Math.min(4, Math.floor(sizeBytes / agBytesMin)));
  if (isStriped && sizeBytes < 16 * agBytesMin) set("-d", "agcount", chosen);
  return Math.floor(sizeBytes / chosen);
}

/** Words of ours and the user's; where both set a key, the user's counts. */
function mergeUser(sections: Sections, user: readonly string[]): string[] {
  const rest: string[] = [];
  for (let at = 0; at < user.length; at += 1) {
    const word = user[at] as string;
    const section = word.slice(0, 2);
    if (!/^-[bmdilnrs]$/.test(section)) {
      rest.push(word);
      continue;
    }
    const list = word.length > 2 ? word.slice(2) : (user[(at += 1)] ?? "");
    const keys = sections.get(section) ?? new Map<string, string>();
    sections.set(section, keys);
    for (const item of list.split(",")) {
      const [key = "", value = ""] = item.split(/=(.*)/s);
      for (const rival of rivals[key] ?? []) keys.delete(rival);
      keys.set(key, value);
    }
  }
  const ours = [...sections].flatMap(([section, keys]) => [
    section,
    [...keys].map(([key, value]) => (value === "" ? key : `${key}=${value}`)).join(","),
  ]);
  return [...ours, ...rest];
}

/** Keys that mkfs.xfs does not take together. */
const rivals: Readonly<Record<string, readonly string[]>> = {
  agcount: ["agsize"],
  agsize: ["agcount"],
  su: ["noalign", "sunit", "swidth"],
  sw: ["noalign", "sunit", "swidth"],
  sunit: ["noalign", "su", "sw"],
  swidth: ["noalign", "su", "sw"],
  noalign: ["su", "sw", "sunit", "swidth"],
};
