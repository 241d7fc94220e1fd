// Words for the bits of an ext superblock: e2fsprogs lib/e2p/feature.c, lib/e2p/mntopts.c and lib/e2p/hashstr.c, by bit number.

export const compatNames: Readonly<Record<number, string>> = {
  0: "dir_prealloc",
  1: "imagic_inodes",
  2: "has_journal",
  3: "ext_attr",
  4: "resize_inode",
  5: "dir_index",
  6: "lazy_bg",
  8: "snapshot_bitmap",
  9: "sparse_super2",
  10: "fast_commit",
  11: "stable_inodes",
  12: "orphan_file",
};

export const incompatNames: Readonly<Record<number, string>> = {
  0: "compression",
  1: "filetype",
  2: "needs_recovery",
  3: "journal_dev",
  4: "meta_bg",
  6: "extent",
  7: "64bit",
  8: "mmp",
  9: "flex_bg",
  10: "ea_inode",
  12: "dirdata",
  13: "metadata_csum_seed",
  14: "large_dir",
  15: "inline_data",
  16: "encrypt",
  17: "casefold",
};

export const roCompatNames: Readonly<Record<number, string>> = {
  0: "sparse_super",
  1: "large_file",
  3: "huge_file",
  4: "uninit_bg",
  5: "dir_nlink",
  6: "extra_isize",
  7: "snapshot",
  8: "quota",
  9: "bigalloc",
  10: "metadata_csum",
  11: "replica",
  12: "read-only",
  13: "project",
  14: "shared_blocks",
  15: "verity",
  16: "orphan_present",
};

/** EXT4_DEFM_*; the journal mode in bits 5-6 is a number, not two bits. */
export const defaultMountOptionNames: Readonly<Record<number, string>> = {
  0: "debug",
  1: "bsdgroups",
  2: "user_xattr",
  3: "acl",
  4: "uid16",
  8: "nobarrier",
  9: "block_validity",
  10: "discard",
  11: "nodelalloc",
};

/** s_def_hash_version. */
export const hashNames: readonly string[] = ["legacy", "half_md4", "tea"];
