// Feature bits of ext2, ext3 and ext4 (Linux fs/ext4/ext4.h: EXT4_FEATURE_*).

export const compat = {
  hasJournal: 0x4,
  sparseSuper2: 0x200,
  fastCommit: 0x400,
  orphanFile: 0x1000,
} as const;

export const incompat = {
  compression: 0x1,
  filetype: 0x2,
  recover: 0x4,
  journalDevice: 0x8,
  metaBg: 0x10,
  extents: 0x40,
  has64bit: 0x80,
  mmp: 0x100,
  flexBg: 0x200,
  eaInode: 0x400,
  checksumSeed: 0x2000,
  largeDirectory: 0x4000,
  inlineData: 0x8000,
  encrypt: 0x10000,
  casefold: 0x20000,
} as const;

export const roCompat = {
  sparseSuper: 0x1,
  largeFile: 0x2,
  btreeDirectory: 0x4,
  hugeFile: 0x8,
  groupChecksum: 0x10,
  directoryLinks: 0x20,
  extraInodeSize: 0x40,
  quota: 0x100,
  bigalloc: 0x200,
  metadataChecksum: 0x400,
  readOnly: 0x1000,
  project: 0x2000,
  verity: 0x8000,
  orphanPresent: 0x10000,
} as const;
