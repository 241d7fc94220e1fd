// The door to native/: what the C addon offers, and its loader. The addon makes system calls, and goes over bytes of which there are too many for
// JavaScript: no policy, no exceptions for errno. A call that fails returns −errno (a negative number) where it would return a number or bytes;
// wrong argument types throw TypeError. All calls are synchronous and may be made from any thread. Names are bytes
// without NUL. Wrappers in this folder turn −errno into TsfsaError (errors.ts); code in hot paths reads the numbers itself.
// Layouts of packed records are in layout.ts.

import { join } from "node:path";
import { TsfsaError } from "../base/errors.ts";

/** A number ≥ 0, or −errno. */
export type Result = number;
/** Bytes, or −errno. */
export type BytesResult = Uint8Array | number;

export interface Addon {
  // --- directory.c -------------------------------------------------------------------------------------------------
  /**
   * All names of the open directory `fd` but `.` and `..`, sorted by unsigned bytes (its offset is rewound first):
   * packed as u8 d_type, u8 length, name. An error in the middle (EIO, EUCLEAN) fails the whole call.
   */
  readDirectory(fd: number): BytesResult;
  /**
   * statx (AT_SYMLINK_NOFOLLOW, AT_NO_AUTOMOUNT, STATX_BASIC_STATS|STATX_BTIME) of up to `count` names packed as by readDirectory, starting at byte
   * `offset` of `names`. Writes one stat record (layout.ts, 128 bytes) per name into `out`; a name that fails has its errno in
   * the record. Returns the offset in `names` after the last one.
   */
  statNames(dirFd: number, names: Uint8Array, offset: number, count: number, out: Uint8Array): Result;

  // --- file.c ------------------------------------------------------------------------------------------------------
  /** openat2; resolve: RESOLVE_* bits. O_CLOEXEC is always added. */
  openAt(dirFd: number, name: Uint8Array, flags: number, mode: number, resolve: number): Result;
  close(fd: number): Result;
  /** statx of `name` under dirFd into a stat record; empty name: of dirFd itself (AT_EMPTY_PATH). */
  statAt(dirFd: number, name: Uint8Array, out: Uint8Array): Result;
  /**
   * pread until `length` bytes or end of file; position −1: read(2) at the descriptor's own offset (pipes). Returns the number read; less than
   * `length` means end of file, an error is always −errno. EINTR is retried.
   */
  read(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): Result;
  /** Bytes from the page boundary (of 4096) before it to where the array begins in memory. */
  pageOffset(bytes: Uint8Array): number;
  /** pwrite of all bytes; position −1: write(2) at the descriptor's own offset. In pieces of up to 64 KiB; short writes go on. Returns `length`. */
  write(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): Result;
  truncate(fd: number, size: number): Result;
  fsync(fd: number): Result;
  syncFilesystem(fd: number): Result;
  mkdirAt(dirFd: number, name: Uint8Array, mode: number): Result;
  mknodAt(dirFd: number, name: Uint8Array, mode: number, major: number, minor: number): Result;
  symlinkAt(target: Uint8Array, dirFd: number, name: Uint8Array): Result;
  readlinkAt(dirFd: number, name: Uint8Array): BytesResult;
  /** linkat without following; flags: AT_* bits (AT_EMPTY_PATH with an empty fromName links the descriptor itself). */
  linkAt(fromDirFd: number, fromName: Uint8Array, toDirFd: number, toName: Uint8Array, flags: number): Result;
  unlinkAt(dirFd: number, name: Uint8Array, flags: number): Result;
  /** renameat2; flags: RENAME_NOREPLACE = 1. */
  renameAt(fromDirFd: number, fromName: Uint8Array, toDirFd: number, toName: Uint8Array, flags: number): Result;
  /** fchownat AT_SYMLINK_NOFOLLOW (empty name: AT_EMPTY_PATH). 0xFFFFFFFF leaves an id as it is. */
  chownAt(dirFd: number, name: Uint8Array, uid: number, gid: number): Result;
  /** fchmod of fd when name is empty, else fchmodat(flags 0) of a name that is known not to be a symlink. Prefer fds. */
  chmodAt(dirFd: number, name: Uint8Array, mode: number): Result;
  /** utimensat AT_SYMLINK_NOFOLLOW (empty name: the fd). Seconds as numbers (may be negative), whole nanoseconds. */
  utimesAt(
    dirFd: number,
    name: Uint8Array,
    atimeSeconds: number,
    atimeNanoseconds: number,
    mtimeSeconds: number,
    mtimeNanoseconds: number,
  ): Result;
  /** dup(2) with CLOEXEC. */
  duplicate(fd: number): Result;
  /** flock(2). */
  lock(fd: number, operation: number): Result;
  /** access as the effective user: geteuid() and capability bits: returns euid; hasCapability(cap) from capget effective set. */
  hasCapability(capability: number): boolean;
  /** getrlimit(RLIMIT_NOFILE) soft limit. */
  openFileLimit(): number;
  /** umask(2), returns the old one. */
  umask(mask: number): number;

  // --- attribute.c -------------------------------------------------------------------------------------------------
  /** Names (NUL-terminated, as the kernel gives them) of the xattrs of fd (empty name) or of dirFd/name, never following. */
  listAttributes(dirFd: number, name: Uint8Array): BytesResult;
  getAttribute(dirFd: number, name: Uint8Array, attribute: Uint8Array): BytesResult;
  setAttribute(dirFd: number, name: Uint8Array, attribute: Uint8Array, value: Uint8Array): Result;
  removeAttribute(dirFd: number, name: Uint8Array, attribute: Uint8Array): Result;
  /** FS_IOC_GETFLAGS as an unsigned number / FS_IOC_SETFLAGS. */
  getInodeFlags(fd: number): Result;
  setInodeFlags(fd: number, flags: number): Result;
  /** FS_IOC_FSGETXATTR: [xflags, extsize, projid, cowextsize] into out (4 u32). */
  getExtendedFlags(fd: number, out: Uint32Array): Result;
  setProjectId(fd: number, projectId: number): Result;

  // --- extent.c ----------------------------------------------------------------------------------------------------
  /** Data runs by SEEK_DATA/SEEK_HOLE up to `size`: pairs of i64 offset, length; at most `limit` pairs (then EOVERFLOW). */
  dataMap(fd: number, size: number, limit: number): BytesResult;
  /** First hole at or after 0 (= size when there is none), by SEEK_HOLE. */
  firstHole(fd: number): Result;
  /** FIEMAP (FIEMAP_FLAG_SYNC when sync) of start..start+length: records of u64 logical, physical, length, u32 flags, u32 0 (32 bytes). Iterates until the last extent; at most `limit` records. */
  extentMap(fd: number, start: number, length: number, sync: boolean, limit: number): BytesResult;
  /** fallocate(2); mode: FALLOC_FL_* bits. */
  allocate(fd: number, mode: number, offset: number, length: number): Result;
  /** FICLONERANGE. */
  cloneRange(fromFd: number, fromOffset: number, length: number, toFd: number, toOffset: number): Result;
  /**
   * FIDEDUPERANGE: lets a range of `toFd` share the storage of one of `fromFd` if both hold the same bytes. Returns the bytes that are shared now, which may be fewer
   * than `length`; 0: they differ.
   */
  dedupeRange(fromFd: number, fromOffset: number, length: number, toFd: number, toOffset: number): Result;
  /** sync_file_range(SYNC_FILE_RANGE_WRITE) of the whole file: what is written afterwards gets extents of its own. */
  startWriteback(fd: number): Result;
  /** posix_fadvise. */
  advise(fd: number, offset: number, length: number, advice: number): Result;

  // --- btrfs.c -----------------------------------------------------------------------------------------------------
  /**
   * BTRFS_IOC_GET_SUBVOL_INFO of the subvolume that holds the open directory `fd`: u64 id, u64 1 if it is read-only, then 16 bytes each UUID, UUID of its parent (the
   * subvolume it is a snapshot of), UUID it was received with (zeros: none), 64 bytes. −ENOTTY: no btrfs.
   */
  subvolumeInfo(fd: number, out: Uint8Array): Result;
  /** BTRFS_IOC_SUBVOL_CREATE_V2: an empty subvolume with mode 0777 and the umask. */
  createSubvolume(dirFd: number, name: Uint8Array): Result;
  /** BTRFS_IOC_SNAP_DESTROY: the subvolume `name` (one component) in an open directory; −EROFS where that lies in a read-only one. */
  deleteSubvolume(dirFd: number, name: Uint8Array): Result;
  /** BTRFS_IOC_SUBVOL_SETFLAGS of the subvolume whose root directory `fd` is. */
  setSubvolumeReadOnly(fd: number): Result;
  /** BTRFS_IOC_DEFAULT_SUBVOL: the subvolume that mounts without subvol= show. */
  setDefaultSubvolume(fd: number, id: number): Result;
  /** Its id (BTRFS_IOC_TREE_SEARCH; 5: the top level). −EPERM without CAP_SYS_ADMIN. */
  defaultSubvolume(fd: number): Result;

  // --- mount.c -----------------------------------------------------------------------------------------------------
  /**
   * fsopen + fsconfig + fsmount: a detached mount of `source` as `type`; `options` are `key` or `key=value` strings; attributes: MOUNT_ATTR_* bits.
   * Returns its descriptor. On failure −errno, and the kernel's own messages (read from the fs context) are in lastMountMessage().
   */
  mountDetached(type: string, source: string, options: readonly string[], attributes: number): Result;
  lastMountMessage(): string;
  /** open_tree(OPEN_TREE_CLONE), not recursive: a detached bind mount without the mounts below it. */
  cloneTree(dirFd: number, name: Uint8Array): Result;
  /** mount_setattr on a detached mount: attributes to set. */
  setMountAttributes(fd: number, attributes: number): Result;
  /** statfs/fstatfs → [type, bsize, blocks, bfree, bavail, files, ffree, fsid low, fsid high, namelen, frsize, flags] as f64 into out (12 numbers). */
  statFilesystem(fd: number, out: Float64Array): Result;
  /** FITHAW; who freezes is the guard. */
  thaw(fd: number): Result;

  // --- guard.c -----------------------------------------------------------------------------------------------------
  /**
   * Starts a process of its own that takes hold of up to 64 things in order: kinds[i] 0: FIFREEZE of fds[i], 1: file system of fds[i] read-only, 2: the
   * device-mapper device names[i] suspended (fds[i]: a descriptor on its file system, for syncfs, or −1). It gives them back, newest first, when it is written `k` (tables loaded into suspended devices
   * become active) or `u` (they are dropped), when timeoutMs are over (0: never) or at end of file. Returns a stream socket on which it tells
   * messages of 24 bytes: u32 event (1 held, 2 failed, 3 released, 4 done), u32 subject, i32 errno, u32 0, u64 CLOCK_REALTIME in nanoseconds.
   */
  startGuard(kinds: Int32Array, fds: Int32Array, names: readonly string[], timeoutMs: number): Result;

  // --- device.c ----------------------------------------------------------------------------------------------------
  /** BLKGETSIZE64, bytes. */
  deviceSize(fd: number): Result;
  /** BLKSSZGET: logical sector size. */
  deviceSectorSize(fd: number): Result;
  /** BLKROGET: 0 or 1. */
  deviceReadOnly(fd: number): Result;
  /** BLKDISCARD. */
  deviceDiscard(fd: number, offset: number, length: number): Result;
  /** BLKFLSBUF. */
  deviceFlush(fd: number): Result;
  /**
   * A loop device on the open descriptor `backingFd` (LOOP_CTL_GET_FREE + LOOP_CONFIGURE, retried while EBUSY; nodes missing in /dev are made with mknod).
   * flags: LO_FLAGS_*; sizeLimit 0: all. Writes its number into out[0]. Returns an open descriptor of the loop device (keep it: with AUTOCLEAR the
   * device goes when the last user closes it). name: shown as backing file name (at most 63 bytes).
   */
  attachLoop(
    backingFd: number,
    flags: number,
    offset: number,
    sizeLimit: number,
    blockSize: number,
    name: Uint8Array,
    out: Uint32Array,
  ): Result;
  /** LOOP_CLR_FD. */
  detachLoop(loopFd: number): Result;
  /** LOOP_GET_STATUS64: backing dev major, minor, inode, offset, sizelimit, flags as numbers into out (6). */
  loopStatus(loopFd: number, out: Float64Array): Result;

  // --- digest.c ----------------------------------------------------------------------------------------------------
  /** XXH64 (seed 0, canonical big-endian, 8 bytes) of a range into `out` at `outOffset`. */
  xxh64(bytes: Uint8Array, offset: number, length: number, out: Uint8Array, outOffset: number): void;
  /** XXH3-128 (seed 0, canonical big-endian, 16 bytes) of a range into `out` at `outOffset`. */
  xxh128(bytes: Uint8Array, offset: number, length: number, out: Uint8Array, outOffset: number): void;
  /** True when the range holds only zeros. */
  isZero(bytes: Uint8Array, offset: number, length: number): boolean;

  // --- crc32c.c ----------------------------------------------------------------------------------------------------
  /** Continues a CRC-32C over a range, without the final inversion. */
  crc32c(crc: number, bytes: Uint8Array, offset: number, length: number): number;

  // --- ext.c -------------------------------------------------------------------------------------------------------
  /**
   * Checks the checksums (ext4_inode_csum(), `seed`: that of the file system) of inodes of `size` bytes that stand in a range one after the other, the first with number `first`: proved[i] = its number
   * where it is right, else 2^32 − 1.
   */
  proveInodes(
    bytes: Uint8Array,
    offset: number,
    length: number,
    size: number,
    first: number,
    seed: number,
    proved: Uint32Array,
  ): void;

  // --- gather.c: the hot path of saving -----------------------------------------------------------------------------
  /**
   * For `count` entries of one job, opens each and takes what statx did not say. Entry i has directory dirFds[i], and its name is packed
   * in `names` as u8 kind (EntryKind), u8 length, bytes, one after the other from byte `namesOffset`. Writes gather records (layout.ts) one after the other into `out` from 0 and opened
   * descriptors of regular files into fds[i] (−1: none). Regular files are opened O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_NOATIME|O_CLOEXEC (again without O_NOATIME on EPERM) and must still be regular
   * (else errno ESTALE, closed: also where opening says that the kind is another); directories are opened for their flags and closed again (length 0: the descriptor dirFds[i] itself);
   * symlinks are read; xattrs of symlinks and special files go through /proc/self/fd/DIR/NAME.
   * Stops early when `out` is full or a descriptor limit is hit after the first entry: returns the number of entries done (≥ 1), or −ENOSPC if the first does not fit
   * (the caller comes again with a larger buffer; nothing stays open).
   */
  gather(
    dirFds: Int32Array,
    names: Uint8Array,
    namesOffset: number,
    count: number,
    out: Uint8Array,
    fds: Int32Array,
  ): Result;
  /**
   * Reads `count` whole regular files: fds[i], sizes[i] bytes, to buffer at offsets[i] (Float64Arrays). A shorter file is filled with zeros. Each file's digest
   * as FORMAT.md section 7 says with xxh128 goes to digests[16 i] when `digests` is not empty. status[i]: bytes read, or −errno (then the range is zeros as far as not read).
   * `stats` not empty: a stat record of each fd after reading (128 bytes each). All fds are closed and set to −1. Returns 0. fds[i] = −1 is passed over.
   */
  readFiles(
    fds: Int32Array,
    sizes: Float64Array,
    offsets: Float64Array,
    count: number,
    buffer: Uint8Array,
    digests: Uint8Array,
    status: Float64Array,
    stats: Uint8Array,
  ): Result;

  // --- plan.c: the hot path of saving ---------------------------------------------------------------------------------
  /**
   * Appends entry records (layout.ts) of up to `count` entries of one directory to `records`, from its packed names and stat records on; stops before the first that is no regular file with one name, failed, has no
   * owner, is larger than `blockSize`, has a path of over `pathMax` bytes or one of `inodes` (their lower 32 bits), for which there is no room, or with which the job's estimate would exceed `blockSize`.
   * `pathLength`: bytes of the directory's member name. Returns how many it planned. `state`: planLayout of layout.ts.
   */
  planPlain(
    names: Uint8Array,
    stats: Uint8Array,
    count: number,
    directory: number,
    depth: number,
    pathLength: number,
    pathMax: number,
    blockSize: number,
    inodes: Uint32Array,
    records: Uint8Array,
    state: Float64Array,
  ): number;

  // --- place.c: the hot path of saving --------------------------------------------------------------------------------
  /**
   * Writes headers and catalog rows of plain entries, one after the other, from entry `state.at` up to `count`; stops before the first that is not plain, does not fit `tar` (state.room) or would end
   * beyond `full` in a block that is not empty. Plain are, where left[i] is 0: a directory, and a file of up to `largest` bytes that fds[i] ≥ 0 has open; without attributes, holes, link, error; with a path,
   * numbers and times that need no extended header but for nanoseconds. Entry i: its entry record (layout.ts) begins at starts[i] of `entries`, its gather record at positions[i] of `gathered` (−1: none), its number is
   * firstEntry + i. Its directory's member name with a slash ends at dirPathEnds[directory] of `dirPaths` and begins where the one before ends. Padding after a file's data is written, the data are the caller's: openFds[k], sizes[k], offsets[k]
   * of the k-th file tell readFiles() what to read where. `rows` has plainRowMax bytes for each entry; a file's row says that it has a digest. `state`: placeLayout of layout.ts.
   */
  placePlain(
    entries: Uint8Array,
    starts: Uint32Array,
    count: number,
    firstEntry: number,
    gathered: Uint8Array,
    positions: Int32Array,
    fds: Int32Array,
    left: Uint8Array,
    dirPaths: Uint8Array,
    dirPathEnds: Uint32Array,
    tar: Uint8Array,
    largest: number,
    full: number,
    rows: Uint8Array,
    openFds: Int32Array,
    sizes: Float64Array,
    offsets: Float64Array,
    state: Float64Array,
  ): void;

  // --- scatter.c: the hot path of restoring ---------------------------------------------------------------------------
  /**
   * Makes the plain files among the first `count` encoded catalog rows of a block, without following anything: openat(dirFds[i], name, O_CREAT|O_EXCL|O_WRONLY|O_NOFOLLOW|O_CLOEXEC, 0600),
   * ftruncate for more than 64 KiB, write, fchown when uid/gid differ from the given ones, fchmod when the mode differs from 0600 (always after a chown), futimens. places[2 i], places[2 i + 1]: offset and length
   * of a row's data in `tar`; 0: leave it. dirFds[i] < 0: leave it. Left are also rows that are no file, have extras, holes, a project id or one of `refusedFlags`, or are no rows.
   * steps[i] (scatterSteps), errors[i] = 0 or the errno of the failed step; a file whose write failed is unlinked; owner, mode and times go on after a failure and the first is reported.
   * A file whose owner could not be set gets its mode without setuid and setgid. inodes[i]: the inode number of a linked file (fstat), else 0. `digests`: 16 bytes of xxh128 each
   * for rows that have one, in order. Returns how many rows there is more to do or to say of: those with dirFds[i] ≥ 0 that were left, failed, differ from their digest, or are linked.
   */
  scatter(
    tar: Uint8Array,
    rows: Uint8Array,
    count: number,
    digests: Uint8Array,
    places: Float64Array,
    dirFds: Int32Array,
    uid: number,
    gid: number,
    refusedFlags: number,
    steps: Uint8Array,
    errors: Int32Array,
    inodes: Float64Array,
  ): number;
  /** File digests (xxh128) only, of `count` ranges of buffer: offsets[i], sizes[i] → digests[16 i]. */
  digestFiles(buffer: Uint8Array, offsets: Float64Array, sizes: Float64Array, count: number, digests: Uint8Array): void;

  // --- plain.c: the hot path of verifying -----------------------------------------------------------------------------
  /**
   * Compares the first `count` encoded catalog rows of a block with the members in its tar bytes. A row is plain when it is a file without holes that stands in the block,
   * a directory or a symlink, legal, with no extras, and its member's headers are byte for byte those that the row asks for (an extended header only for nanoseconds), its padding zero
   * and, with `checksDigests`, its content that of its digest (16 bytes of xxh128 each for rows that have one, in order). places[2 i], places[2 i + 1]: offset (≥ 512) and length of
   * the data of a plain row; 0: not plain, which does not say that anything is wrong. `parentPath`: member name of the directory of the first row (entries in it have depth
   * `firstDepth`); `prefix`: member name of a root among the rows. Plain rows that follow each other have members that do. Returns the number of plain rows.
   */
  comparePlain(
    tar: Uint8Array,
    rows: Uint8Array,
    count: number,
    digests: Uint8Array,
    checksDigests: boolean,
    parentPath: Uint8Array,
    firstDepth: number,
    prefix: Uint8Array,
    places: Float64Array,
  ): number;

  // --- order.c ------------------------------------------------------------------------------------------------------
  /**
   * Follows `count` encoded catalog rows that ask for nothing but to be counted, and to be made where they stand: legal, in order, no root, no link, nothing that a link may point to, no file of
   * several blocks, nothing that was not whole when it was saved, no extras but the target of a symlink. The position is where the row before has come to: `path` (4096 bytes): member name of its directory, `last` (255 bytes): its name if it stands there,
   * `lengths`: bytes of the path, depth of entries in it, bytes of the name. −1: some row asks for more (or breaks a rule); then the position is as it was. Else how many of the rows are directories;
   * `depths` holds the depth of each row, `directories` (pairs) the indexes of those rows and the offsets at which they begin in `rows`.
   */
  followRows(
    rows: Uint8Array,
    count: number,
    path: Uint8Array,
    last: Uint8Array,
    lengths: Uint32Array,
    depths: Uint32Array,
    directories: Uint32Array,
  ): number;
  /**
   * Passes over up to `count` encoded catalog rows from `start` on, and stops before the first that is not legal, is a hard link, or has extras but the target of a symlink. Returns how many it has passed;
   * `found` holds where the next one begins, and how many of them have digests.
   */
  passRows(content: Uint8Array, start: number, count: number, found: Uint32Array): number;
}

let loaded: Addon | undefined;

/** The addon, loaded on first use. Throws TsfsaError FAILED where that fails, as where it was never built. */
export function addon(): Addon {
  if (loaded === undefined) {
    const path = join(import.meta.dirname, "../../native/build/Release/tsfsa.node");
    const module = { exports: {} };
    try {
      process.dlopen(module, path);
    } catch (cause) {
      throw new TsfsaError("FAILED", `the native addon cannot be loaded: ${(cause as Error).message}`, {
        cause,
        hints: ["if it is missing: run `npm run prepare` in the package's folder (needs make and a C compiler)"],
      });
    }
    loaded = module.exports as Addon;
  }
  return loaded;
}
