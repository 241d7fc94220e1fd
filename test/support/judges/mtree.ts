// bsdtar's mtree: an independent reader of types, modes, owners, times, flags, link targets and SHA-256 of contents.

import { inChunk, join, nulList } from "../walk.ts";
import { type Dump, type Judge, isHugeSparse } from "./dump.ts";

const keywords = "mtree:!all,type,mode,uid,gid,size,time,link,device,flags,sha256,!indent,!use-set";

export const judgeMtree: Judge = async ({ chunk, entries, ignore }) => {
  // bsdtar leaves sockets out of any archive; stat sees them.
  const operands = entries.filter((entry) => !isHugeSparse(entry) && !entry.stat.isSocket());
  const argv = ["bsdtar", "-cnf", "-", "--null", "-T", "-", "--format=mtree", `--options=${keywords}`];
  const { stdout, stderr, status } = await inChunk(chunk, argv, nulList(operands));
  if (status !== 0) throw new Error(`bsdtar: ${stderr}`);
  const dump: Dump = new Map();
  for (const line of stdout.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const [name = "", ...words] = line.split(" ");
    const kept = words.filter((word) => !isIgnored(word, ignore));
    dump.set(join(chunk.path, name.replace(/^\.\/?/, "")), kept.join(" "));
  }
  if (dump.size !== operands.length) throw new Error(`bsdtar listed ${dump.size} of ${operands.length} entries`);
  return dump;
};

function isIgnored(word: string, ignore: Parameters<Judge>[0]["ignore"]): boolean {
  if (word.startsWith("uid=") || word.startsWith("gid=")) return ignore.has("owner");
  if (word.startsWith("time=")) return ignore.has("mtime");
  if (word.startsWith("flags=")) return ignore.has("flags");
  if (word.startsWith("sha256digest=")) return ignore.has("content");
  return false;
}
