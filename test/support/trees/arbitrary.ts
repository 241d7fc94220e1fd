// Random trees for property tests: hostile names, all kinds, links, holes, attributes, odd times. Only what every file system and,
// with `root: false`, an ordinary user can make.

import * as fc from "fast-check";
import { type DirectoryNode, type FileNode, type Metadata, type TreeNode, bytes, link, noise } from "./model.ts";

export interface ArbitraryOptions {
  /** Owners, devices, trusted attributes too. */
  readonly root: boolean;
  /** Children of a directory at most; default 6. */
  readonly width?: number;
}

const nameByte = fc.integer({ min: 1, max: 255 }).filter((byte) => byte !== 0x2f);
const hostileNames = [
  "-",
  "--",
  "...",
  "*",
  "\\",
  "a\nb",
  "\xff",
  " ",
  "'\"",
  "$(x)",
  "a=b",
  "%s",
  "#",
  "~",
  "n".repeat(255),
];

const name: fc.Arbitrary<Buffer> = fc
  .oneof(
    { weight: 3, arbitrary: fc.stringMatching(/^[a-z][a-z0-9._-]{0,11}$/).map(bytes) },
    { weight: 2, arbitrary: fc.constantFrom(...hostileNames).map(bytes) },
    { weight: 2, arbitrary: fc.array(nameByte, { minLength: 1, maxLength: 120 }).map((list) => Buffer.from(list)) },
  )
  .filter((value) => !value.equals(bytes(".")) && !value.equals(bytes("..")));

const time: fc.Arbitrary<string> = fc
  .tuple(
    fc.oneof(
      fc.integer({ min: 0, max: 2_000_000_000 }),
      fc.integer({ min: -2_000_000_000, max: -1 }),
      fc.integer({ min: 2 ** 32, max: 2 ** 33 }),
    ),
    fc.oneof(fc.constantFrom(0, 1, 999_999_999), fc.integer({ min: 0, max: 999_999_999 })),
  )
  .map(([seconds, nanoseconds]) => `${seconds}.${String(nanoseconds).padStart(9, "0")}`);

const attributeName = fc
  .array(fc.integer({ min: 1, max: 255 }), { minLength: 1, maxLength: 30 })
  .map((list) => Buffer.from(list));
const attributeValue = fc.uint8Array({ minLength: 0, maxLength: 300 });

const id = fc.oneof(
  fc.integer({ min: 0, max: 70_000 }),
  fc.integer({ min: 2_097_140, max: 2_097_160 }),
  fc.constant(4_294_967_294),
);

function attributes(prefixes: readonly string[]): fc.Arbitrary<(readonly [Buffer, Uint8Array])[]> {
  const one = fc.tuple(fc.constantFrom(...prefixes), attributeName, attributeValue);
  return fc
    .uniqueArray(one, { maxLength: 4, selector: ([prefix, rest]) => prefix + rest.toString("latin1") })
    .map((list) => list.map(([prefix, rest, value]) => [Buffer.concat([bytes(prefix), rest]), value] as const));
}

function metadata({ root }: ArbitraryOptions, forLink: boolean): fc.Arbitrary<Metadata> {
  const prefixes = root ? (forLink ? ["trusted."] : ["user.", "trusted."]) : forLink ? [] : ["user."];
  return fc.record(
    {
      mtime: time,
      atime: time,
      ...(forLink ? {} : { mode: fc.integer({ min: 0, max: 0o7777 }).map((mode) => (root ? mode : mode | 0o700)) }),
      ...(root ? { uid: id, gid: id } : {}),
      ...(prefixes.length > 0 ? { xattrs: attributes(prefixes) } : {}),
      ...(forLink ? {} : { acl: fc.constantFrom("u:99:rwx", "g:5:r,m:x", "u:1:-,u:2:w,g::rwx") }),
    },
    { requiredKeys: [] },
  );
}

const leafSize = 1024 * 1024;

/** Files from empty to a few MiB, dense or with holes at odd places. */
const content: fc.Arbitrary<Pick<FileNode, "pieces" | "size">> = fc
  .tuple(
    fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: 0, max: 9000 }) },
      { weight: 1, arbitrary: fc.constantFrom(leafSize - 1, leafSize, leafSize + 1, 4 * leafSize + 511) },
      { weight: 2, arbitrary: fc.integer({ min: 0, max: 3_000_000 }) },
    ),
    fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 1, max: 70_000 })), {
      maxLength: 5,
    }),
    fc.boolean(),
    fc.integer({ min: 1, max: 1000 }),
  )
  .map(([size, runs, dense, seed]) => {
    if (dense || size === 0) return { size, pieces: size === 0 ? [] : [{ offset: 0, bytes: noise(size, seed) }] };
    const pieces = runs.map(([place, length]) => {
      const offset = Math.floor(place * (size - 1));
      return { offset, bytes: noise(Math.min(length, size - offset), seed) };
    });
    return { size, pieces };
  });

export function treeArbitrary(options: ArbitraryOptions): fc.Arbitrary<DirectoryNode> {
  const width = options.width ?? 6;
  const own = metadata(options, false);
  const ownLink = metadata(options, true);
  const target = fc
    .array(fc.integer({ min: 1, max: 255 }), { minLength: 1, maxLength: 200 })
    .map((list) => Buffer.from(list));
  const leaf: fc.Arbitrary<TreeNode>[] = [
    fc.tuple(content, own).map(([data, rest]): TreeNode => ({ kind: "file", ...data, ...rest })),
    fc.tuple(target, ownLink).map(([value, rest]): TreeNode => ({ kind: "symlink", target: value, ...rest })),
    own.map((rest): TreeNode => ({ kind: "fifo", ...withoutUserAttributes(rest) })),
    own.map((rest): TreeNode => ({ kind: "socket", ...withoutUserAttributes(rest) })),
  ];
  if (options.root) {
    // What xfs takes; the others take more.
    const numbers = fc.tuple(fc.integer({ min: 0, max: 511 }), fc.integer({ min: 0, max: 262_143 }));
    leaf.push(
      fc
        .tuple(fc.constantFrom("charDevice" as const, "blockDevice" as const), numbers, own)
        .map(([kind, [major, minor], rest]): TreeNode => ({ kind, major, minor, ...withoutUserAttributes(rest) })),
    );
  }
  const { directory } = fc.letrec<{ node: TreeNode; directory: DirectoryNode }>((tie) => ({
    node: fc.oneof({ maxDepth: 4, withCrossShrink: true }, ...leaf.map((arbitrary) => ({ weight: 2, arbitrary })), {
      weight: 3,
      arbitrary: tie("directory"),
    }),
    directory: fc
      .tuple(
        fc.uniqueArray(fc.tuple(name, tie("node")), { maxLength: width, selector: ([key]) => key.toString("latin1") }),
        own,
      )
      .map(([entries, rest]): DirectoryNode => ({ kind: "directory", entries, ...rest })),
  }));
  return fc
    .tuple(directory, fc.array(fc.tuple(fc.nat(), name), { maxLength: 3 }))
    .map(([tree, links]) => withLinks(tree, links));
}

/** The kernel keeps user attributes of files and directories only. */
function withoutUserAttributes(value: Metadata): Metadata {
  const { xattrs, ...rest } = value;
  const kept = (xattrs ?? []).filter(([key]) => !Buffer.from(key).toString("latin1").startsWith("user."));
  return kept.length === 0 ? rest : { ...rest, xattrs: kept };
}

/** Adds further names in the root for some leaves of the tree; they come last, so the targets exist. */
function withLinks(tree: DirectoryNode, links: readonly (readonly [number, Buffer])[]): DirectoryNode {
  const leaves: TreeNode[] = [];
  const stack: TreeNode[] = [tree];
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    if (node.kind === "directory") stack.push(...node.entries.map(([, child]) => child));
    else leaves.push(node);
  }
  if (leaves.length === 0) return tree;
  const taken = new Set(tree.entries.map(([key]) => Buffer.from(key).toString("latin1")));
  const added: (readonly [Uint8Array, TreeNode])[] = [];
  for (const [choice, key] of links) {
    const text = key.toString("latin1");
    const to = leaves[choice % leaves.length];
    if (to === undefined || taken.has(text)) continue;
    taken.add(text);
    added.push([key, link(to)]);
  }
  return { ...tree, entries: [...tree.entries, ...added] };
}
