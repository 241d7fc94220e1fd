// What the archiver tells while it works. Commands take these from save and restore; only the cli shows them.

/** Something about one entry or source that makes the run end with status 1. */
export interface Warning {
  /** Stable code, listed in docs/ERRORS.md. */
  readonly code: WarningCode;
  /** Path in the source or archive, without prefix; bytes. */
  readonly path: Uint8Array;
  /** One sentence, without the path. */
  readonly message: string;
  readonly errno?: string;
}

export type WarningCode =
  | "ENTRY_UNREADABLE"
  | "ENTRY_VANISHED"
  | "ENTRY_NOT_FOUND"
  | "ENTRY_CHANGED"
  | "ENTRY_DAMAGED"
  | "ENTRY_NOT_RESTORED"
  | "ENTRY_UNSUPPORTED"
  | "ATTRIBUTE_LOST"
  | "ATTRIBUTE_NOT_RESTORED"
  | "FILESYSTEM_FEATURE"
  | "SUBVOLUMES_FLATTENED"
  | "ARCHIVE_PART_LOST"
  | "SNAPSHOT_KEPT"
  | "SNAPSHOT_LEFT"
  | "SNAPSHOT_INSTANTS"
  | "HOOK_FAILED"
  | "ALL_BLOCKS_READ";

export interface Progress {
  readonly bytesDone: number;
  /** 0 when unknown. */
  readonly bytesTotal: number;
  readonly entriesDone: number;
  /** Bytes of archive written, or read. */
  readonly archiveBytes: number;
  /** Length of the archive that is read; 0 or absent when unknown. */
  readonly archiveTotal?: number;
}

export interface Reporter {
  warning(warning: Warning): void;
  progress(progress: Progress): void;
  /** One entry was packed or restored (verbose only). */
  entry?(path: Uint8Array): void;
  /** A short line on a step of the run (verbose only). */
  step(message: string): void;
}
