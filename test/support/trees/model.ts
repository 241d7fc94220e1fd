// Trees for tests as nested values, and the order in which one is made on disk. Names are bytes; times are decimal text.

export interface Piece {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface Metadata {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Decimal seconds since 1970 as touch takes them: `-1.5`, `4294967296.000000001`. */
  readonly mtime?: string;
  readonly atime?: string;
  readonly xattrs?: readonly (readonly [name: Uint8Array, value: Uint8Array])[];
  /** Entries as setfacl takes them: `u:99:rwx,g:5:r,d:u:7:rx`. */
  readonly acl?: string;
  /** As setcap takes it: `cap_net_raw=ep`. */
  readonly capability?: string;
  /** Letters as chattr takes them. */
  readonly flags?: string;
  readonly project?: number;
}

export interface FileNode extends Metadata {
  readonly kind: "file";
  /** Written in this order; what lies between stays a hole. */
  readonly pieces: readonly Piece[];
  readonly size: number;
  /** Ranges to preallocate (keeping the size) after the data. */
  readonly unwritten?: readonly { readonly offset: number; readonly length: number }[];
  /** Letters that only an empty file takes (C on btrfs): set before the data. */
  readonly earlyFlags?: string;
}

export interface DirectoryNode extends Metadata {
  readonly kind: "directory";
  readonly entries: readonly (readonly [name: Uint8Array, node: TreeNode])[];
}

export interface SymlinkNode extends Metadata {
  readonly kind: "symlink";
  readonly target: Uint8Array;
}

export interface SpecialNode extends Metadata {
  readonly kind: "fifo" | "socket";
}

export interface DeviceNode extends Metadata {
  readonly kind: "charDevice" | "blockDevice";
  readonly major: number;
  readonly minor: number;
}

/** One more name of a node: the very same object stands under both names. */
export interface LinkNode {
  readonly kind: "link";
  readonly to: TreeNode;
}

export type TreeNode = FileNode | DirectoryNode | SymlinkNode | SpecialNode | DeviceNode | LinkNode;

export function bytes(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

export function file(content: Uint8Array | string, metadata: Metadata = {}): FileNode {
  const data = typeof content === "string" ? Buffer.from(content) : content;
  return {
    kind: "file",
    pieces: data.length === 0 ? [] : [{ offset: 0, bytes: data }],
    size: data.length,
    ...metadata,
  };
}

export function sparse(size: number, pieces: readonly Piece[], metadata: Metadata = {}): FileNode {
  return { kind: "file", pieces, size, ...metadata };
}

export function directory(entries: Readonly<Record<string, TreeNode>>, metadata: Metadata = {}): DirectoryNode {
  return {
    kind: "directory",
    entries: Object.entries(entries).map(([name, node]) => [bytes(name), node]),
    ...metadata,
  };
}

export function symlink(target: string | Uint8Array, metadata: Metadata = {}): SymlinkNode {
  return { kind: "symlink", target: typeof target === "string" ? bytes(target) : target, ...metadata };
}

export function link(to: TreeNode): LinkNode {
  return { kind: "link", to };
}

/** Deterministic bytes that do not compress (xorshift32). */
export function noise(length: number, seed: number): Buffer {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = (seed * 2_654_435_761 + 1) >>> 0 || 1;
  for (let index = 0; index < words.length; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
  return Buffer.from(words.buffer, 0, length);
}

/** Deterministic text that compresses about as source code does. */
export function prose(length: number, seed: number): Buffer {
  const words = [
    "struct",
    "inode",
    "return",
    "size_t",
    "static",
    "{\n",
    "}\n",
    "if (",
    ") ",
    "= 0;\n",
    "count",
    "offset",
    "\t",
    "->",
  ];
  const random = noise(4 * Math.ceil(length / 3), seed);
  const parts: string[] = [];
  for (let index = 0, total = 0; total < length; index++) {
    const word = words[(random[index] ?? 0) % words.length] ?? "";
    parts.push(word, " ");
    total += word.length + 1;
  }
  return Buffer.from(parts.join("").slice(0, length), "latin1");
}
