// What the families' own tools say of a superblock, as the values our readers should give. Each judge takes the tool's text, so
// that captured and freshly made file systems are judged alike, and returns pairs of what was found and expected.

import type { BtrfsSuperblock } from "../../../src/filesystem/superblock/btrfs.ts";
import type { ExtSuperblock } from "../../../src/filesystem/superblock/ext.ts";
import type { XfsSuperblock } from "../../../src/filesystem/superblock/xfs.ts";

type Facts = Record<string, unknown>;

/** Ours and the tool's view under the same keys, for one toEqual. */
export interface Judgement {
  readonly ours: Facts;
  readonly theirs: Facts;
}

/** dumpe2fs -h. */
export function judgeExt(text: string, sb: ExtSuperblock): Judgement {
  const field = (name: string): string | undefined => new RegExp(`^${name}:[ \\t]*(.*)$`, "m").exec(text)?.[1];
  const number = (name: string): number => Number.parseInt(field(name) ?? "0", 10);
  const words = (name: string): string[] =>
    (field(name) ?? "").split(" ").filter((word) => word !== "" && word !== "(none)");
  const seed = field("Directory Hash Seed");
  const p = sb.parameters;
  return {
    ours: {
      uuid: sb.uuid,
      blockSize: sb.blockSize,
      blockCount: sb.blockCount,
      freeBlocks: sb.freeBlocks,
      checksumValid: sb.checksumValid ?? "none",
      revision: p.revision,
      clusterSize: p.clusterSizeBytes,
      inodeSize: p.inodeSizeBytes,
      inodes: p.inodeCount,
      inodesUsed: p.inodesUsed,
      reserved: [p.reservedBlocks, p.reservedUid, p.reservedGid],
      blocksPerGroup: p.blocksPerGroup,
      features: [...p.features].toSorted(),
      journalBlocks: p.journalBlocks,
      fastCommitBlocks: p.fastCommitBlocks,
      flexGroupSize: p.flexGroupSize,
      errors: p.errors,
      hash: [p.hashSeed ?? undefined, p.hashVersion],
      mountOptions: [...p.mountOptions].toSorted(),
      extendedMountOptions: p.extendedMountOptions,
      raid: [p.stride, p.stripeWidth],
      check: [p.maxMountCount, p.checkIntervalSeconds],
      mmp: p.mmpIntervalSeconds,
      encoding: p.encoding,
      quota: p.quotaTypes,
      extraInodeBytes: [p.minExtraInodeBytes, p.wantExtraInodeBytes],
    },
    theirs: {
      uuid: field("Filesystem UUID"),
      blockSize: number("Block size"),
      blockCount: number("Block count"),
      freeBlocks: number("Free blocks"),
      checksumValid: field("Checksum") === undefined ? "none" : true,
      revision: number("Filesystem revision #"),
      clusterSize: number("Cluster size") || number("Block size"),
      inodeSize: number("Inode size") || 128,
      inodes: number("Inode count"),
      inodesUsed: number("Inode count") - number("Free inodes"),
      reserved: [number("Reserved block count"), number("Reserved blocks uid"), number("Reserved blocks gid")],
      blocksPerGroup: number("Blocks per group"),
      features: words("Filesystem features").toSorted(),
      journalBlocks: number("Total journal blocks"),
      fastCommitBlocks: number("Fast commit length"),
      flexGroupSize: number("Flex block group size"),
      errors: { Continue: "continue", "Remount read-only": "remount-ro", Panic: "panic" }[
        field("Errors behavior") ?? ""
      ],
      hash: [seed, field("Default directory hash") ?? "legacy"],
      mountOptions: words("Default mount options").toSorted(),
      extendedMountOptions: field("Mount options") ?? "",
      raid: [number("RAID stride"), number("RAID stripe width")],
      check: [number("Maximum mount count"), number("Check interval")],
      mmp: number("MMP update interval"),
      encoding: field("Character encoding") === "utf8-12.1" ? 1 : 0,
      quota: [
        ...(field("User quota inode") === undefined ? [] : ["usrquota"]),
        ...(field("Group quota inode") === undefined ? [] : ["grpquota"]),
        ...(field("Project quota inode") === undefined ? [] : ["prjquota"]),
      ],
      extraInodeBytes: [number("Required extra isize"), number("Desired extra isize")],
    },
  };
}

/** xfs_db -r -c 'sb 0' -c p. */
export function judgeXfs(text: string, sb: XfsSuperblock): Judgement {
  const field = (name: string): string => new RegExp(`^${name} = (.*)$`, "m").exec(text)?.[1] ?? "";
  const number = (name: string): number => Number(field(name));
  const bit = (name: string, mask: number): boolean => (number(name) & mask) !== 0;
  const p = sb.parameters;
  const has = (name: string): boolean => p.features.includes(name);
  const isV5 = (number("versionnum") & 15) === 5;
  return {
    ours: {
      uuid: sb.uuid,
      blockSize: sb.blockSize,
      blockCount: sb.blockCount,
      freeBlocks: sb.freeBlocks,
      checksumValid: sb.checksumValid ?? "none",
      version: p.version,
      sector: p.sectorSizeBytes,
      inode: [p.inodeSizeBytes, p.inodesUsed, p.inodePercentMax],
      groups: [p.agCount, p.agBlocks],
      stripe: [p.stripeUnitBlocks, p.stripeWidthBlocks],
      directory: p.directoryBlockSizeBytes,
      log: [p.logBlocks, p.logSectorSizeBytes, p.logStripeUnitBytes, p.externalLog],
      realtime: p.realtimeBlocks,
      quota: p.quotaTypes,
      features: [
        "finobt",
        "rmapbt",
        "reflink",
        "inobtcount",
        "ftype",
        "sparse",
        "bigtime",
        "nrext64",
        "ascii-ci",
      ].filter(has),
    },
    theirs: {
      uuid: field("uuid"),
      blockSize: number("blocksize"),
      blockCount: number("dblocks"),
      freeBlocks: number("fdblocks"),
      checksumValid: isV5 ? field("crc").endsWith("(correct)") : "none",
      version: number("versionnum") & 15,
      sector: number("sectsize"),
      inode: [number("inodesize"), number("icount") - number("ifree"), number("imax_pct")],
      groups: [number("agcount"), number("agblocks")],
      stripe: [number("unit"), number("width")],
      directory: number("blocksize") * 2 ** number("dirblklog"),
      log: [number("logblocks"), number("logsectsize"), number("logsunit"), field("logstart") === "0"],
      realtime: number("rblocks"),
      quota: [
        ["usrquota", "uquotino"],
        ["grpquota", "gquotino"],
        ["prjquota", "pquotino"],
      ].flatMap(([name = "", key = ""]) => (["", "0", "null"].includes(field(key)) ? [] : [name])),
      features: [
        ...(bit("features_ro_compat", 1) ? ["finobt"] : []),
        ...(bit("features_ro_compat", 2) ? ["rmapbt"] : []),
        ...(bit("features_ro_compat", 4) ? ["reflink"] : []),
        ...(bit("features_ro_compat", 8) ? ["inobtcount"] : []),
        ...(bit("features_incompat", 1) || (!isV5 && bit("features2", 0x200)) ? ["ftype"] : []),
        ...(bit("features_incompat", 2) ? ["sparse"] : []),
        ...(bit("features_incompat", 8) ? ["bigtime"] : []),
        ...(bit("features_incompat", 0x20) ? ["nrext64"] : []),
        ...(bit("versionnum", 0x4000) ? ["ascii-ci"] : []),
      ],
    },
  };
}

/** btrfs inspect-internal dump-super -f, followed by `chunk type …` lines of the chunk tree. */
export function judgeBtrfs(text: string, sb: BtrfsSuperblock): Judgement {
  const field = (name: string): string => new RegExp(`^${name}[ \\t]+(.*)$`, "m").exec(text)?.[1] ?? "";
  const profile = (kind: string): string | undefined =>
    new RegExp(`^chunk type (?:\\w+\\|)*${kind}(?:\\|\\w+)*\\|(\\w+)$`, "m").exec(text)?.[1]?.toLowerCase();
  const flags = (name: string): string[] => {
    const list = new RegExp(`^${name}[ \\t]+0x[0-9a-f]+\\n\\t+\\(([^)]*)\\)`, "m").exec(text)?.[1] ?? "";
    return list
      .split(/[\s|]+/)
      .filter((word) => word !== "")
      .map((word) => btrfsFlagNames[word] ?? word);
  };
  const p = sb.parameters;
  return {
    ours: {
      uuid: sb.uuid,
      checksumValid: sb.checksumValid,
      checksum: p.checksum,
      totalBytes: sb.totalBytes,
      usedBytes: sb.usedBytes,
      sector: sb.sectorSize,
      node: p.nodeSizeBytes,
      devices: p.deviceCount,
      deviceId: sb.deviceId,
      deviceUuid: sb.deviceUuid,
      needsReplay: sb.needsReplay,
      profiles: [p.dataProfile, p.metadataProfile],
      features: [...p.features].toSorted(),
    },
    theirs: {
      uuid: field("fsid"),
      checksumValid: /^csum[ \t]+0x[0-9a-f]+ \[match\]$/m.test(text),
      checksum: { crc32c: "crc32c", xxhash64: "xxhash", sha256: "sha256", blake2: "blake2" }[
        /\((\w+)\)/.exec(field("csum_type"))?.[1] ?? ""
      ],
      totalBytes: Number(field("total_bytes")),
      usedBytes: Number(field("bytes_used")),
      sector: Number(field("sectorsize")),
      node: Number(field("nodesize")),
      devices: Number(field("num_devices")),
      deviceId: Number(field("dev_item.devid")),
      deviceUuid: field("dev_item.uuid"),
      needsReplay: field("log_root") !== "0",
      profiles: [profile("DATA"), profile("METADATA")],
      features: [...flags("compat_ro_flags"), ...flags("incompat_flags")].toSorted(),
    },
  };
}

const btrfsFlagNames: Readonly<Record<string, string>> = {
  FREE_SPACE_TREE: "free-space-tree",
  FREE_SPACE_TREE_VALID: "free-space-tree-valid",
  BLOCK_GROUP_TREE: "block-group-tree",
  MIXED_BACKREF: "mixed-backref",
  MIXED_GROUPS: "mixed-bg",
  BIG_METADATA: "big-metadata",
  EXTENDED_IREF: "extref",
  SKINNY_METADATA: "skinny-metadata",
  NO_HOLES: "no-holes",
};
