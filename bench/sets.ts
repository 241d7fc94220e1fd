// Runs with a name: what the table of targets in docs/PERFORMANCE.md is made of, each short enough to find a quiet moment for.
// A set is a line of options; what the command line says besides comes after it and wins.

export const sets = {
  save: "--data linux --operations save,limit --peers tar+zstd,fsarchiver,squashfs,zstd-b",
  restore: "--data linux --operations restore,verify,list,extract --peers tar+zstd,fsarchiver,squashfs",
  levels: "--data linux --level lz4,1 --operations save --peers tar+zstd,tar+lz4,fsarchiver,squashfs --rounds 3",
  large: "--data mixed --operations save --peers tar+zstd,fsarchiver,squashfs --rounds 3",
  million: "--data million --operations save,growth --peers tar+zstd,tenth --rounds 3",
  links: "--data links --operations save,restore,growth --peers tar+zstd,tenth",
  start: "--data small --operations start,startsave",
  debian: "--data debian --operations save --peers tar+zstd,fsarchiver,squashfs --rounds 3",
  images: "--data debian --level lz4,1 --operations saveimg --peers partclone+zstd,dd+zstd --rounds 3",
  blocks: "--data linux --operations saveblock --peers mounted --rounds 3",
  "peers-save": "--data linux --operations save --peers dar,restic,borg --rounds 3",
  "peers-restore": "--data linux --operations restore,verify,list,extract --peers dar,restic,borg --rounds 2",
  lz4: "--data linux --level lz4,1,2,3,4,5 --operations save,restore,verify --peers none --rounds 3",
} as const;
export type SetName = keyof typeof sets;

export const setNames = Object.keys(sets) as SetName[];
