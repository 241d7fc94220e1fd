// getfattr, getfacl and lsattr: extended attributes of all namespaces, ACLs, inode flags and project ids.

import { type Chunk, type WalkedEntry, join, overEntries } from "../walk.ts";
import type { Dump, Judge } from "./dump.ts";

// xfs shows an ACL a second time in its on-disk form; the ACL judge sees the ACL.
const duplicateAttributes = /^trusted\.SGI_ACL_(FILE|DEFAULT)=/;

export const judgeAttributes: Judge = async ({ chunk, entries, ignore }) => {
  const { stdout, stderr, status } = await overEntries(chunk, entries, [
    "getfattr",
    "-h",
    "-d",
    "-m",
    "-",
    "-e",
    "hex",
    "--",
  ]);
  if (status !== 0) throw new Error(`getfattr: ${stderr}`);
  return blocks(chunk, stdout, (lines) =>
    lines
      .filter((line) => !duplicateAttributes.test(line))
      .filter((line) => !(ignore.has("acls") && line.startsWith("system.posix_acl_")))
      .toSorted()
      .join("\n"),
  );
};

export const judgeAcls: Judge = async ({ chunk, entries, ignore }) => {
  const operands = entries.filter((entry) => !entry.stat.isSymbolicLink());
  const { stdout, stderr, status } = await overEntries(chunk, operands, ["getfacl", "-n", "-p", "-E", "-P", "--"]);
  if (status !== 0) throw new Error(`getfacl: ${stderr}`);
  return blocks(chunk, stdout, (lines) =>
    lines
      .filter((line) => !(ignore.has("owner") && (line.startsWith("# owner:") || line.startsWith("# group:"))))
      .join("\n"),
  );
};

/** Blocks of lines, separated by empty lines, the first of each `# file: NAME` with NAME escaped by the tool. */
function blocks(chunk: Chunk, output: string, content: (lines: readonly string[]) => string): Dump {
  const dump: Dump = new Map();
  for (const block of output.split("\n\n")) {
    const [first, ...lines] = block.split("\n").filter((line) => line !== "");
    if (first === undefined) continue;
    const name = /^# file: (?:\.\/)?(.*)$/.exec(first)?.[1];
    if (name === undefined) throw new Error(`unexpected line of getfattr or getfacl: ${first}`);
    const text = content(lines);
    if (text !== "") dump.set(join(chunk.path, name), text);
  }
  return dump;
}

/**
 * lsattr -d -p. Letters that say how the kernel laid the inode out, not what the user asked for, are left out:
 * e extents, I hashed directory, h huge file, N inline data, E encrypted, V verity, and btrfs' X B Z of old compression.
 */
export const judgeFlags: Judge = async ({ chunk, entries, ignore }) => {
  const operands = entries.filter((entry) => entry.stat.isFile() || entry.stat.isDirectory());
  const { stdout, stderr, status } = await overEntries(chunk, operands, ["lsattr", "-d", "-p", "--"]);
  if (status !== 0) throw new Error(`lsattr: ${stderr}`);
  return parseFlags(operands, stdout, (project, flags) =>
    [
      ignore.has("project") ? "" : `project=${project}`,
      ignore.has("flags") ? "" : flags.replace(/[-eIhNEVXBZ]/g, ""),
    ].join(" "),
  );
};

function parseFlags(
  operands: readonly WalkedEntry[],
  output: string,
  show: (project: string, flags: string) => string,
): Dump {
  const dump: Dump = new Map();
  let position = 0;
  for (const { local, path } of operands) {
    const match = /^ *(\d+) ([-A-Za-z]+) /.exec(output.slice(position, position + 64));
    const name = `${local}\n`;
    if (match === null || !output.startsWith(name, position + match[0].length)) {
      throw new Error(`unexpected output of lsattr at ${JSON.stringify(output.slice(position, position + 80))}`);
    }
    dump.set(path, show(match[1] ?? "", match[2] ?? ""));
    position += match[0].length + name.length;
  }
  return dump;
}
