// Where an archive is written to. A regular file appears whole or not at all (file-sink.ts). A pipe or device gets the bytes as they come
// (stream-sink.ts); on failure it gets no footer, which readers take for damage.

export interface FileIdentity {
  readonly dev: bigint;
  readonly ino: bigint;
}

export interface Sink {
  /** What people call it. */
  readonly name: string;
  /** Bytes written so far. */
  readonly offset: number;
  /** The file being written and the one it replaces: a save never reads its own archive. */
  readonly identities: readonly FileIdentity[];
  /** Writes all parts; their bytes are not used after the promise has settled. One call at a time. */
  write(parts: readonly Uint8Array[]): Promise<void>;
  /** Makes everything written durable and gives it its name. */
  commit(): Promise<void>;
  /** Drops what was written, as far as that is possible, also while a write is under way. Never throws. */
  abort(): void;
}
