// Every bound of the archive format (docs/FORMAT.md, section 10) and of the pipeline, in one place.

const KiB = 1024;
const MiB = 1024 * KiB;

/** Bytes of the leaves a file digest is made of; slices of a file are whole numbers of leaves. */
export const leafSizeBytes: number = MiB;

/** Bytes that a disk may lose together, at most: frames are aligned to them, and parity makes up for as many. */
export const sectorLength = 4096;

export const limits = {
  headPayloadBytes: 16 * MiB,
  summaryPayloadBytes: 16 * MiB,
  segmentPayloadBytes: 64 * MiB,
  segmentContentBytes: 128 * MiB,
  tablePayloadBytes: 512 * MiB,
  frameBytes: 65 * MiB,
  blockBytes: 64 * MiB,
  blockSizeMin: MiB,
  blockSizeMax: 32 * MiB,
  groupBlocks: 16,
  groupBytes: 64 * MiB,
  groupRowBytes: 32 * MiB,
  /** Entries of one block: rows of entries without member cost no tar bytes. */
  blockEntries: 1024 * 1024,
  /** Rows and digests of a block, so that a segment holds them with ancestors and completions. */
  blockRowBytes: 112 * MiB,
  /** Inodes with names still to come, of one device: what a Map can hold. */
  linkedInodes: 2 ** 24 - 1,
  pathBytes: MiB,
  nameBytes: 255,
  depth: 65_535,
  paxHeaderBytes: 48 * MiB,
  symlinkTargetBytes: 4095,
  sparseSegments: 1_000_000,
  sharedExtents: 65_536,
  sources: 4096,
} as const;
