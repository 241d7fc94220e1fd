// The nouns shared by every layer: what an entry of a file system is, with nothing said of where it is stored.
// Numbers that may pass 2^53 are bigint. Names and targets are bytes.

/** Kind of an entry; the numbers are those of the catalog row (docs/FORMAT.md, section 6). */
export const EntryKind = {
  file: 0,
  hardlink: 1,
  symlink: 2,
  charDevice: 3,
  blockDevice: 4,
  directory: 5,
  fifo: 6,
  socket: 7,
  absent: 8,
} as const;
export type EntryKind = (typeof EntryKind)[keyof typeof EntryKind];

/** Greatest count of nanoseconds of a time. */
export const nanosecondsMax = 999_999_999;

/** A point in time: whole seconds since 1970 (may be negative) and nanoseconds 0 to nanosecondsMax. */
export interface Timestamp {
  readonly seconds: number;
  readonly nanoseconds: number;
}

export interface ExtendedAttribute {
  readonly name: Uint8Array;
  readonly value: Uint8Array;
}

/** A run of bytes of a file, in bytes. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
}

/** A run of bytes of a file in storage that other files use too. */
export interface SharedExtent extends Extent {
  /** Where it lies: bytes, an opaque number of its file system, below 2^52. Only its start counts where it is encoded (compressed). */
  readonly address: number;
  readonly encoded: boolean;
}

/** A btrfs subvolume. UUIDs are 16 bytes; undefined: none. */
export interface Subvolume {
  readonly readOnly: boolean;
  /** The one that a mount without options shows. */
  readonly isDefault: boolean;
  readonly uuid?: Uint8Array | undefined;
  /** Of the subvolume it is a snapshot of. */
  readonly parentUuid?: Uint8Array | undefined;
  /** Of the subvolume that was sent here. */
  readonly receivedUuid?: Uint8Array | undefined;
}

export interface Device {
  readonly major: number;
  readonly minor: number;
}
