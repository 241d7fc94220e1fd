/** The types of file systems that can be saved as a whole and made again. */
export const filesystemTypes = ["ext2", "ext3", "ext4", "xfs", "btrfs"] as const;
export type FilesystemType = (typeof filesystemTypes)[number];
