// Makes a tree of nested values on disk. Content goes through node:fs; all that Node lacks (nanoseconds, attributes, ACLs, flags,
// device nodes, preallocation) goes through the distribution's own tools in one bash script, so that nothing of the product is
// used to make what the product is judged by. Every path is reached through descriptors: depth has no limit.

import { execFileSync } from "node:child_process";
import { closeSync, constants, ftruncateSync, linkSync, mkdirSync, openSync, symlinkSync, writeSync } from "node:fs";
import { bashQuote, must } from "../run.ts";
import type { DirectoryNode, FileNode, Metadata, TreeNode } from "./model.ts";

/** Bound under a short name, since an address holds 108 bytes, then renamed. */
const socketScript = `'socket(S, PF_UNIX, SOCK_STREAM, 0) && bind(S, sockaddr_un(".socket")) && rename(".socket", $ARGV[0]) or die "socket: $!"'`;

/** Fills the existing directory `root` with the tree and gives it the tree's own metadata. */
export async function buildTree(root: string, tree: DirectoryNode): Promise<void> {
  const script: string[] = [
    "set -e",
    'ROOT="$PWD"',
    'fail() { echo "line $1: $2" >&2; exit 1; }',
    'trap \'fail "$LINENO" "$BASH_COMMAND"\' ERR',
  ];
  const made = new Map<TreeNode, string>();
  const fd = openSync(root, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    makeEntries(fd, tree, "", made, script);
    applyMetadata(".", tree, script);
    await must(["bash"], { cwd: root, input: Buffer.from(script.join("\n"), "latin1"), timeoutMs: 300_000 });
  } finally {
    closeSync(fd);
  }
}

interface Pending {
  readonly fd: number;
  readonly node: DirectoryNode;
  readonly path: string;
  index: number;
}

/** Depth-first without recursion; the script enters a directory, makes its entries, leaves it and then sets its metadata. */
function makeEntries(
  rootFd: number,
  root: DirectoryNode,
  rootPath: string,
  made: Map<TreeNode, string>,
  script: string[],
): void {
  const stack: Pending[] = [{ fd: rootFd, node: root, path: rootPath, index: 0 }];
  try {
    makeAll(stack, made, script);
  } finally {
    // The root's descriptor is the caller's.
    for (const { fd } of stack.slice(1)) closeSync(fd);
  }
}

function makeAll(stack: Pending[], made: Map<TreeNode, string>, script: string[]): void {
  const rootFd = stack[0]?.fd ?? -1;
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const entry = top.node.entries[top.index++];
    if (entry === undefined) {
      stack.pop();
      const parent = stack.at(-1);
      if (parent === undefined) break;
      closeSync(top.fd);
      const [name] = parent.node.entries[parent.index - 1] ?? [];
      script.push("cd ..");
      applyMetadata(bashQuote(dotted(name ?? Buffer.alloc(0))), top.node, script);
      continue;
    }
    const [name, node] = entry;
    const path = `${top.path}/${Buffer.from(name).toString("latin1")}`;
    if (node.kind === "directory") {
      mkdirSync(below(top.fd, name));
      script.push(`cd -- ${bashQuote(dotted(name))}`);
      const fd = openSync(below(top.fd, name), constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
      stack.push({ fd, node, path, index: 0 });
    } else {
      makeLeaf(top, rootFd, name, node, made, path, script);
    }
  }
}

function makeLeaf(
  { fd }: Pending,
  rootFd: number,
  name: Uint8Array,
  node: Exclude<TreeNode, DirectoryNode>,
  made: Map<TreeNode, string>,
  path: string,
  script: string[],
): void {
  const word = bashQuote(dotted(name));
  if (node.kind === "link") {
    const target = made.get(node.to);
    if (target === undefined) throw new Error("a link stands before its target");
    const existing = Buffer.from(`/proc/self/fd/${rootFd}${target}`, "latin1");
    // Specials are made by the script, so their links are too. Both lie where plain paths reach.
    const byNode = node.to.kind === "file" || node.to.kind === "symlink";
    if (byNode) linkSync(existing, below(fd, name));
    else script.push(`ln -P -- "$ROOT"${bashQuote(Buffer.from(target, "latin1"))} ${word}`);
    return;
  }
  made.set(node, path);
  switch (node.kind) {
    case "file":
      writeFile(fd, name, node, word, script);
      break;
    case "symlink":
      symlinkSync(Buffer.from(node.target), below(fd, name));
      break;
    case "fifo":
      script.push(`mkfifo -- ${word}`);
      break;
    case "socket":
      script.push(`perl -MSocket -e ${socketScript} -- ${word}`);
      break;
    case "charDevice":
    case "blockDevice":
      script.push(`mknod -- ${word} ${node.kind === "charDevice" ? "c" : "b"} ${node.major} ${node.minor}`);
      break;
  }
  applyMetadata(word, node, script);
}

function writeFile(directoryFd: number, name: Uint8Array, node: FileNode, word: string, script: string[]): void {
  const fd = openSync(below(directoryFd, name), "wx");
  try {
    if (node.earlyFlags !== undefined) {
      const operands = [`+${node.earlyFlags}`, "--", dotted(name).toString()];
      execFileSync("chattr", operands, { cwd: `/proc/${process.pid}/fd/${directoryFd}` });
    }
    for (const { offset, bytes } of node.pieces) {
      for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, offset + done);
    }
    ftruncateSync(fd, node.size);
  } finally {
    closeSync(fd);
  }
  for (const { offset, length } of node.unwritten ?? []) {
    script.push(`fallocate -n -o ${offset} -l ${length} -- ${word}`);
  }
}

/** In an order in which no step undoes another; flags last, because they forbid the rest. */
function applyMetadata(word: string, node: Exclude<TreeNode, { kind: "link" }>, script: string[]): void {
  const metadata: Metadata = node;
  if (metadata.uid !== undefined || metadata.gid !== undefined) {
    script.push(`chown -h -- ${metadata.uid ?? 0}:${metadata.gid ?? 0} ${word}`);
  }
  if (metadata.mode !== undefined) script.push(`chmod -- ${metadata.mode.toString(8)} ${word}`);
  if (metadata.acl !== undefined) script.push(`setfacl -n -m ${bashQuote(Buffer.from(metadata.acl))} -- ${word}`);
  for (const [name, value] of metadata.xattrs ?? []) {
    // Base64, so that 64 KiB fit into one argument.
    const base64 = Buffer.from(value).toString("base64");
    script.push(`setfattr -h -n ${bashQuote(name)} -v ${base64 === "" ? "''" : `0s${base64}`} -- ${word}`);
  }
  if (metadata.capability !== undefined) script.push(`setcap ${metadata.capability} ${word}`);
  if (metadata.project !== undefined) script.push(`chattr -p ${metadata.project} -- ${word}`);
  if (metadata.atime !== undefined) script.push(`touch -h -a -d @${metadata.atime} -- ${word}`);
  if (metadata.mtime !== undefined) script.push(`touch -h -m -d @${metadata.mtime} -- ${word}`);
  if (metadata.flags !== undefined && metadata.flags !== "") script.push(`chattr +${metadata.flags} -- ${word}`);
}

function below(fd: number, name: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${fd}/`), name]);
}

/** Names as operands: with `./` no tool takes one for an option. */
function dotted(name: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from("./"), name]);
}
