// The head, the block record and the end of an archive as values (docs/FORMAT.md, sections 4, 5, 8).

export type Codec = "zstd" | "lz4";
export type DigestName = "xxh128" | "sha256" | "blake3";

/** What is known of a saved file system; parameters are specific to its type and validated before use. */
export interface FilesystemDescription {
  readonly type: string;
  /** null: none. Bytes that are not UTF-8 stand base64 in labelBase64. */
  readonly label: string | null;
  readonly labelBase64?: string;
  readonly uuid: string | null;
  readonly sizeBytes: number;
  readonly usedBytes: number;
  readonly blockSize: number;
  readonly parameters: Readonly<Record<string, unknown>>;
}

export interface SourceDescription {
  readonly kind: "filesystem" | "directory";
  /** `./`, `N/` or the path as given with a trailing `/`. Where it is not UTF-8, its bytes stand in prefixBase64 and prefix is for people. */
  readonly prefix: string;
  readonly prefixBase64?: string;
  readonly origin: string;
  readonly filesystem?: FilesystemDescription;
  readonly image?: ImageDescription;
}

/** A source of kind `directory` that is a device saved block by block: its root holds one file. */
export interface ImageDescription {
  /** Name of that file. */
  readonly file: string;
  readonly sizeBytes: number;
  /** Bytes a target must have: the end of the file system, or of the device. */
  readonly endBytes: number;
  /** Why all blocks were read; null: only those in use. */
  readonly doubt: string | null;
  /** What it holds, in the words of blkid; null: not known. */
  readonly type: string | null;
  readonly filesystem?: FilesystemDescription;
}

export interface Head {
  readonly format: number;
  readonly oldestReader: number;
  /** 32 hex digits. */
  readonly archiveId: string;
  readonly creator: string;
  /** RFC 3339, UTC, whole seconds. */
  readonly created: string;
  readonly label: string;
  readonly codec: Codec;
  readonly level: number;
  readonly blockSize: number;
  readonly digest: DigestName;
  readonly preamble: { readonly length: number; readonly digest: string };
  readonly sources: readonly SourceDescription[];
}

export interface BlockRecord {
  readonly number: number;
  readonly tarOffset: number;
  readonly compressedLength: number;
  readonly uncompressedLength: number;
  readonly firstEntry: number;
  readonly entryCount: number;
  /** 0xFFFF in the last block. */
  readonly sourceId: number;
  readonly codec: Codec;
  readonly end: boolean;
  readonly continuation?: { readonly entry: number; readonly fileOffset: number };
  /** 16 bytes. */
  readonly digest: Uint8Array;
  /** Chain value before this record, 16 bytes. */
  readonly chain: Uint8Array;
}

export interface TableBlock {
  readonly offset: number;
  readonly compressedLength: number;
  readonly uncompressedLength: number;
  readonly firstEntry: number;
  readonly tarOffset: number;
  readonly entryCount: number;
  readonly sourceId: number;
  readonly continuation: boolean;
  readonly end: boolean;
}

export interface TableSegment {
  readonly offset: number;
  readonly payloadLength: number;
  readonly entryCount: number;
  readonly firstEntry: number;
  readonly firstBlock: number;
}

export interface Table {
  readonly blocks: readonly TableBlock[];
  readonly segments: readonly TableSegment[];
}

export interface SourceTotals {
  entries: number;
  files: number;
  directories: number;
  symlinks: number;
  hardlinks: number;
  devices: number;
  fifos: number;
  sockets: number;
  absent: number;
  changed: number;
  damaged: number;
  attributesLost: number;
  /** Directories that are roots of btrfs subvolumes. */
  subvolumes: number;
  /** Sum of the files' logical sizes. */
  bytes: number;
  /** The same without holes. */
  dataBytes: number;
}

export interface Summary {
  readonly entries: number;
  readonly members: number;
  readonly blocks: number;
  readonly segments: number;
  readonly tables: number;
  readonly tarBytes: number;
  readonly headLength: number;
  readonly headOffset2: number;
  readonly sources: readonly SourceTotals[];
  readonly snapshot?: Readonly<Record<string, unknown>>;
}

export interface Footer {
  readonly tableOffset: number;
  readonly summaryOffset: number;
  readonly archiveLength: number;
  readonly entries: number;
  /** 16 bytes. */
  readonly chain: Uint8Array;
  readonly blocks: number;
}
