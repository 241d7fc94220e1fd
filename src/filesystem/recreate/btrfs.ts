// Plans btrfs: one run of mkfs.btrfs on one device. Subvolumes are not made here; they are part of what is restored.

import { TsfsaError } from "../../base/errors.ts";
import { formatSize } from "../../base/units.ts";
import type { PlanContext, TypePlan } from "./context.ts";
import { Values } from "./values.ts";

const MiB = 1024 * 1024;
/** What mkfs.btrfs asks for (mkfs/common.c, btrfs_min_dev_size): first chunks of all kinds, and what second copies of them add. */
const sizeMiBMin = { mixed: 16, single: 45, metadataCopy: 64, dataCopy: 120 } as const;

const dataProfiles: Readonly<Record<string, string>> = { single: "single", dup: "dup" };
const checksums = ["crc32c", "xxhash", "sha256", "blake2"] as const;
/** Features mkfs turns on or off with -O; all are on by default today. */
const defaultFeatures = ["extref", "skinny-metadata", "no-holes"] as const;
/** Set by what the file system holds, or by every mkfs. */
const implied = new Set([
  ..."mixed-backref default-subvol big-metadata compress-lzo compress-zstd metadata-uuid verity".split(" "),
  ..."free-space-tree-valid raid56 raid1c34".split(" "),
]);

export function planBtrfs(context: PlanContext): TypePlan {
  const { description, sizeBytes, label, uuid, warnings, support } = context;
  const fromBtrfs = description.type === "btrfs";
  const values = new Values(description.type, fromBtrfs ? description.parameters : {});
  const has = new Set(fromBtrfs ? values.words("features") : [...defaultFeatures, "free-space-tree"]);
  const isMixed = has.delete("mixed-bg");
  const sectorSize = values.powerOfTwo("sectorSizeBytes", 512, 65_536, 4096);
  const nodeSize = values.powerOfTwo("nodeSizeBytes", sectorSize, 65_536, Math.max(16_384, sectorSize));
  const data = profile(values, "dataProfile", "single", warnings);
  const metadata = profile(values, "metadataProfile", "dup", warnings);
  const copies = (metadata === "dup" ? sizeMiBMin.metadataCopy : 0) + (data === "dup" ? sizeMiBMin.dataCopy : 0);
  const sizeBytesMin = (isMixed ? sizeMiBMin.mixed : sizeMiBMin.single + copies) * MiB;
  if (sizeBytes < sizeBytesMin) {
    throw new TsfsaError(
      "TARGET_TOO_SMALL",
      `btrfs needs at least ${formatSize(sizeBytesMin)}, the target has ${formatSize(sizeBytes)}`,
    );
  }
  const options: Option[] = [
    ["-s", "--sectorsize", `${sectorSize}`],
    ["-n", "--nodesize", `${nodeSize}`],
    ["--csum", "--checksum", values.word("checksum", checksums, "crc32c")],
    ["-d", "--data", data],
    ["-m", "--metadata", isMixed ? data : metadata],
  ];
  const words: (string | Uint8Array)[] = isMixed ? ["-M"] : [];

  const changed: string[] = [];
  for (const name of defaultFeatures) if (!has.delete(name)) changed.push(`^${name}`);
  const hasSpaceTree = has.delete("free-space-tree");
  if (has.delete("block-group-tree")) {
    if (support.knows("block-group-tree")) changed.push("block-group-tree");
    else warnings.push("the feature block-group-tree is not kept: the installed mkfs.btrfs is too old for it");
  } else if (support.knows("block-group-tree") && fromBtrfs) {
    changed.push("^block-group-tree");
  }
  for (const name of has) if (!implied.has(name)) warnings.push(`the feature ${name} is not kept on one plain device`);
  if (changed.length > 0) words.push("-O", changed.join(","));
  words.push("-R", hasSpaceTree ? "free-space-tree" : "^free-space-tree");
  words.push("-U", uuid);
  if (label.length > 0) words.push("-L", label);
  const ours = options
    .filter((option) => !isAskedBy(context.mkfsOptions, option))
    .flatMap(([name, , value]) => [name, value]);
  return { commands: [{ program: "mkfs.btrfs", arguments: ["-f", "-q", ...ours, ...words, ...context.mkfsOptions] }] };
}

/** Short and long name and value. */
type Option = readonly [string, string, string];

/** mkfs.btrfs adds profiles given twice together, so what the user says takes the place of ours. */
function isAskedBy(user: readonly string[], [short, long]: Option): boolean {
  return user.some(
    (word) => word.startsWith(long) || (word.startsWith(short) && (short.length > 2 || !word.startsWith("--"))),
  );
}

/** What one device can have: copies on several devices become two copies (metadata) or one (data). */
function profile(values: Values, key: "dataProfile" | "metadataProfile", fallback: string, warnings: string[]): string {
  const names = ["single", "dup", "raid0", "raid1", "raid1c3", "raid1c4", "raid10", "raid5", "raid6"] as const;
  const text = values.text(key, /^[a-z0-9]{1,12}$/);
  const asked = text === "" ? fallback : values.word(key, names, "single");
  const kept = dataProfiles[asked];
  if (kept !== undefined) return kept;
  const instead = key === "metadataProfile" && asked !== "raid0" ? "dup" : "single";
  warnings.push(
    `the profile ${asked} of ${key === "dataProfile" ? "data" : "metadata"} becomes ${instead}: the target is one device`,
  );
  return instead;
}
