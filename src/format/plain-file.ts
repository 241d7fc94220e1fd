// A plain file: what header and catalog row say of a regular file whose name, numbers and times fit the plain header, and that has nothing else. One object
// serves for many files, one after the other, since nearly every entry of an archive is one.

export interface PlainFile {
  /** Member name: the first `pathLength` bytes, at most 100; its last component starts at `nameStart`. */
  readonly path: Uint8Array;
  pathLength: number;
  nameStart: number;
  entryNumber: number;
  /** Directories between the source's root and it, and one. */
  depth: number;
  /** Of its header in the tar bytes of its block: a multiple of 512. */
  offset: number;
  /** A later entry may be a hard link to it. */
  linked: boolean;
  /** Permission bits with setuid, setgid, sticky. */
  mode: number;
  uid: number;
  gid: number;
  /** Bytes. */
  size: number;
  /** Seconds since 1970, ≥ 0, and nanoseconds. */
  mtimeSeconds: number;
  mtimeNanoseconds: number;
  atimeSeconds: number;
  atimeNanoseconds: number;
  /** The time of birth is known. */
  hasBirth: boolean;
  btimeSeconds: number;
  btimeNanoseconds: number;
  inodeFlags: number;
  projectId: number;
}
