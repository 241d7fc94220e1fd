// Versions of the archive format (docs/FORMAT.md, section 11).

/** What this code writes, and the newest it reads. */
export const formatVersion = 2;

/** Since this one frames are aligned to sectors, and catalog segments have parity: no bad sector costs more than one block. */
export const sectorProofSince = 2;
