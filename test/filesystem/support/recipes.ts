// Small file systems that are quick to make.

import type { FilesystemRecipe } from "../../support/images.ts";

const MiB = 1024 * 1024;

export const small = {
  ext2: { name: "ext2", type: "ext2", sizeBytes: 16 * MiB, mkfs: ["-L", "two"] },
  ext3: { name: "ext3", type: "ext3", sizeBytes: 16 * MiB, mkfs: ["-L", "three"] },
  ext4: { name: "ext4", type: "ext4", sizeBytes: 16 * MiB, mkfs: ["-L", "four"] },
  xfs: { name: "xfs", type: "xfs", sizeBytes: 300 * MiB, mkfs: ["-L", "ex"] },
  btrfs: { name: "btrfs", type: "btrfs", sizeBytes: 128 * MiB, mkfs: ["-L", "butter"] },
} as const satisfies Record<string, FilesystemRecipe>;
