// Plans ext2, ext3 and ext4: mke2fs with every feature named (-O none,…), then tune2fs for what mke2fs cannot set.
// Sizes that depend on the size of the file system are scaled to the target; what cannot be kept is a warning.

import type { ToolCommand } from "../types.ts";
import { extFeatures } from "./ext-features.ts";
import { editFeatures, type ExtWishes, extWishes } from "./ext-wishes.ts";
import type { PlanContext, TypePlan } from "./context.ts";
import { sizeMax, uuidPattern, Values } from "./values.ts";

const MiB = 1024 * 1024;
const hashVersions = ["legacy", "half_md4", "tea"] as const;
const mountOptionWords = [
  "debug",
  "bsdgroups",
  "user_xattr",
  "acl",
  "uid16",
  "journal_data",
  "journal_data_ordered",
  "journal_data_writeback",
  "nobarrier",
  "block_validity",
  "discard",
  "nodelalloc",
] as const;

export function planExt(context: PlanContext): TypePlan {
  const { description, sizeBytes, sectorSize, label, uuid, warnings } = context;
  const type = context.type as "ext2" | "ext3" | "ext4";
  const fromExt = description.type.startsWith("ext");
  const values = new Values(description.type, fromExt ? description.parameters : {});
  let blockSize = fromExt ? description.blockSize : sizeBytes < 16 * MiB ? 1024 : 4096;
  if (blockSize < sectorSize) {
    warnings.push(`the block size becomes ${sectorSize} instead of ${blockSize}: the target's sectors are larger`);
    blockSize = sectorSize;
  }
  const blockCount = Math.floor(sizeBytes / blockSize);
  const sourceBlocks = Math.max(1, Math.floor(description.sizeBytes / blockSize));
  const scale = blockCount / sourceBlocks;
  const wishes = extWishes(context.mkfsOptions);
  const features = extFeatures(context, type, values, blockCount);
  editFeatures(features, wishes.features);
  const journal = wishes.has("-J") ? [] : journalOptions(values, features, blockSize, blockCount, scale, warnings);

  if (values.integer("revision", 0, 1, 1) === 0) {
    warnings.push("the revision becomes 1 instead of 0, which mke2fs no longer makes");
  }
  const extended = ["root_owner=0:0"];
  const hashSeed = values.text("hashSeed", uuidPattern);
  if (hashSeed !== "") extended.push(`hash_seed=${hashSeed}`);
  const stride = values.integer("stride", 0, 65_535, 0);
  if (stride > 0) extended.push(`stride=${stride}`);
  const stripeWidth = values.integer("stripeWidth", 0, 2 ** 31, 0);
  if (stripeWidth > 0) extended.push(`stripe_width=${stripeWidth}`);
  if (features.has("casefold")) extended.push(...encodingOptions(values));
  const quotaTypes = values.words("quotaTypes").filter((each) => ["usrquota", "grpquota", "prjquota"].includes(each));
  if (features.has("quota") && quotaTypes.length > 0) extended.push(`quotatype=${quotaTypes.join(":")}`);
  if (quotaTypes.length > 0) warnings.push(`the limits of quotas (${quotaTypes.join(", ")}) are not kept`);
  if (features.has("sparse_super2")) extended.push(`num_backup_sb=${values.integer("backupSuperblocks", 0, 2, 2)}`);
  const mmpInterval = values.integer("mmpIntervalSeconds", 0, 299, 0);
  if (features.has("mmp") && mmpInterval > 0) extended.push(`mmp_update_interval=${mmpInterval}`);

  const options: string[] = ["-b", `${blockSize}`];
  const clusterSize = values.powerOfTwo("clusterSizeBytes", 1024, 256 * MiB, blockSize);
  if (features.has("bigalloc")) options.push("-C", `${Math.max(clusterSize, 2 * blockSize)}`);
  const flexGroups = values.integer("flexGroupSize", 0, 2 ** 30, 16);
  if (features.has("flex_bg") && flexGroups > 0 && Number.isInteger(Math.log2(flexGroups)))
    options.push("-G", `${flexGroups}`);
  const blocksPerGroup = values.integer("blocksPerGroup", 8, 2 ** 32, 8 * blockSize);
  const isOrdinary =
    features.has("bigalloc") || blocksPerGroup >= Math.min(8 * blockSize, 65_528) || blocksPerGroup % 8 !== 0;
  if (fromExt && !isOrdinary && blocksPerGroup >= 256) options.push("-g", `${blocksPerGroup}`);
  const inodeSize = values.powerOfTwo("inodeSizeBytes", 128, blockSize, Math.min(256, blockSize));
  options.push("-I", `${inodeSize}`, "-m", "0");
  if (!wishes.has("-i") && !wishes.has("-N")) options.push("-N", `${inodes(context, values, fromExt, scale)}`);
  options.push("-e", values.word("errors", ["continue", "remount-ro", "panic"], "continue"), ...journal);

  const mkfs: ToolCommand = {
    program: "mke2fs",
    arguments: [
      "-F",
      "-q",
      "-L",
      label,
      "-U",
      uuid,
      ...options,
      "-O",
      ["none", ...features].join(","),
      "-E",
      [...extended, ...wishes.extended].join(","),
      ...wishes.rest,
    ],
  };
  return { commands: [mkfs, ...tune(values, fromExt, scale, blockCount, context, wishes)] };
}

/** Inodes as many as before on a target of the same size, else in proportion; never fewer than are in use. */
function inodes(context: PlanContext, values: Values, fromExt: boolean, scale: number): number {
  const used = values.integer("inodesUsed", 0, 2 ** 32, 0);
  const foreign = new Values(context.description.type, context.description.parameters).integer(
    "inodesUsed",
    0,
    sizeMax,
    0,
  );
  const count = fromExt
    ? values.integer("inodeCount", 1, 2 ** 32 - 1, Math.ceil(context.description.sizeBytes / 16_384)) * scale
    : context.sizeBytes / 16_384;
  const needed = Math.ceil(Math.max(used, foreign) * 1.05) + 64;
  return Math.min(2 ** 32 - 1, Math.max(Math.round(count), scale === 1 ? 16 : needed));
}

/** -J in whole MiB: the same journal, or on a smaller target what mke2fs would give it (ext2fs_default_journal_size). */
function journalOptions(
  values: Values,
  features: Set<string>,
  blockSize: number,
  blockCount: number,
  scale: number,
  warnings: string[],
): string[] {
  if (values.boolean("externalJournal") && features.has("has_journal")) {
    warnings.push("the journal on another device becomes one inside the file system");
  }
  if (blockCount < 2048 && features.delete("has_journal")) {
    features.delete("fast_commit");
    warnings.push("the target is too small for a journal: it will have none");
  }
  if (!features.has("has_journal")) return [];
  const fastCommit = values.integer("fastCommitBlocks", 0, 2 ** 32, 0);
  const whole = values.integer("journalBlocks", 0, 10_240_000 + fastCommit, 0);
  if (whole <= fastCommit) return []; // not recorded: mke2fs's choice
  const original = whole - fastCommit;
  const blocks = scale < 1 ? Math.min(original, Math.max(1024, Math.floor(blockCount / 16))) : original;
  const sizeMiB = Math.max(Math.ceil((1024 * blockSize) / MiB), Math.round((blocks * blockSize) / MiB));
  if (sizeMiB * MiB !== original * blockSize) {
    warnings.push(`the journal becomes ${sizeMiB} MiB instead of ${(original * blockSize) / MiB} MiB`);
  }
  const fast =
    features.has("fast_commit") && fastCommit > 0
      ? `,fast_commit_size=${Math.round((fastCommit * blockSize) / 1024)}`
      : "";
  return ["-J", `size=${sizeMiB}${fast}`];
}

/** s_encoding 1 is the only one there is (EXT4_ENC_UTF8_12_1); flag 1 is strict (EXT4_ENC_STRICT_MODE_FL). */
function encodingOptions(values: Values): string[] {
  values.integer("encoding", 1, 1, 1);
  return ["encoding=utf8-12.1", ...(values.integer("encodingFlags", 0, 1, 0) === 1 ? ["encoding_flags=strict"] : [])];
}

function tune(
  values: Values,
  fromExt: boolean,
  scale: number,
  blockCount: number,
  context: PlanContext,
  wishes: ExtWishes,
): ToolCommand[] {
  const reserved = fromExt
    ? Math.floor(values.integer("reservedBlocks", 0, sizeMax, 0) * scale)
    : Math.floor(blockCount / 20);
  const words = wishes.has("-m") ? [] : ["-r", `${Math.min(reserved, Math.floor(blockCount / 2))}`];
  for (const [key, option] of [
    ["reservedUid", "-u"],
    ["reservedGid", "-g"],
  ] as const) {
    const id = values.integer(key, 0, 2 ** 32 - 1, 0);
    if (id > 65_535) context.warnings.push(`${key} ${id} is not kept: tune2fs stores 16 bits`);
    else words.push(option, `${id}`);
  }
  const maxMountCount = values.integer("maxMountCount", -32_768, 32_767, -1);
  words.push(
    "-c",
    `${maxMountCount > 0 ? maxMountCount : -1}`,
    "-i",
    `${values.integer("checkIntervalSeconds", 0, 2 ** 32 - 1, 0)}s`,
  );
  const wanted = fromExt ? values.words("mountOptions") : ["user_xattr", "acl"];
  for (const name of wanted.filter((each) => !(mountOptionWords as readonly string[]).includes(each))) {
    context.warnings.push(`the default mount option ${name} is not known and not kept`);
  }
  const mode = ["journal_data", "journal_data_ordered", "journal_data_writeback"];
  const edits = mountOptionWords.flatMap((each) =>
    wanted.includes(each) ? [each] : mode.includes(each) ? [] : [`^${each}`],
  );
  words.push("-o", edits.join(","), "-E", `hash_alg=${values.word("hashVersion", hashVersions, "half_md4")}`);
  const commands: ToolCommand[] = [{ program: "tune2fs", arguments: words }];

  // tune2fs splits its extended options at commas, so the text goes through debugfs; the pattern leaves no room for its quoting.
  const mountOptions = fromExt ? values.text("extendedMountOptions", /^[\x20-\x7e]{1,63}$/) : "";
  if (/["\\]/.test(mountOptions))
    context.warnings.push("the extended default mount options are not kept: they hold a quote or backslash");
  else if (mountOptions !== "") {
    commands.push({ program: "debugfs", arguments: ["-w", "-R", `set_super_value mount_opts "${mountOptions}"`] });
  }
  return commands;
}
