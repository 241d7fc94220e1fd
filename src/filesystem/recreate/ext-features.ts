// Which features a new ext file system gets: those of the source as far as the type and the tool know them.

import type { PlanContext } from "./context.ts";
import type { Values } from "./values.ts";

/** Features mke2fs makes (misc/mke2fs.c, ok_features), by the oldest type whose file systems may have them: compatible ones hinder no driver. */
const ext2Features = [
  ..."sparse_super large_file filetype resize_inode dir_index ext_attr meta_bg".split(" "),
  ..."sparse_super2 stable_inodes fast_commit".split(" "),
];
const ext3Features = [...ext2Features, "has_journal", "orphan_file"];
const ext4Features = [
  ...ext3Features,
  ..."extent 64bit flex_bg huge_file uninit_bg dir_nlink extra_isize metadata_csum metadata_csum_seed bigalloc".split(
    " ",
  ),
  ..."ea_inode inline_data large_dir casefold encrypt verity mmp quota project".split(" "),
];
const known = { ext2: ext2Features, ext3: ext3Features, ext4: ext4Features };

/** States of a run, not of the file system's making. */
const transient = new Set(["needs_recovery", "orphan_present", "lazy_bg", "journal_dev"]);

const ext2Defaults = ["sparse_super", "large_file", "filetype", "resize_inode", "dir_index", "ext_attr"];
const defaults = {
  ext2: ext2Defaults,
  ext3: [...ext2Defaults, "has_journal"],
  // As mke2fs.conf of e2fsprogs 1.47 has them but for orphan_file and metadata_csum_seed, which older kernels cannot write.
  ext4: [
    ...ext2Defaults,
    ..."has_journal extent huge_file flex_bg metadata_csum 64bit dir_nlink extra_isize".split(" "),
  ],
};

/**
 * The source's features where the type stays; the type's own as well where it changes, ea_inode with them when the source is no ext: extended
 * attributes of xfs and btrfs may be larger than a block.
 */
export function extFeatures(
  context: PlanContext,
  type: "ext2" | "ext3" | "ext4",
  values: Values,
  blockCount: number,
): Set<string> {
  const { description, support, warnings } = context;
  const features = new Set<string>(description.type === type ? [] : defaults[type]);
  if (type === "ext4" && !description.type.startsWith("ext")) features.add("ea_inode");
  for (const name of values.words("features")) {
    if (transient.has(name)) continue;
    if (!ext4Features.includes(name)) warnings.push(`the feature ${name} is not kept: mke2fs cannot make it`);
    else if (!known[type].includes(name)) warnings.push(`the feature ${name} is not kept: ${type} does not have it`);
    else if (!support.knows(name))
      warnings.push(`the feature ${name} is not kept: the installed mke2fs is too old for it`);
    else features.add(name);
  }
  if (blockCount >= 2 ** 32 && !features.has("64bit")) {
    if (type === "ext4") {
      features.add("64bit");
      warnings.push("the feature 64bit is added: the target has 2^32 blocks or more");
    }
  }
  if (features.has("metadata_csum")) features.delete("uninit_bg"); // the first includes the second
  return features;
}
