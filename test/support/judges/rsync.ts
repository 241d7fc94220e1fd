// rsync as judge: what it would transfer or change from source to restored tree, with checksums. Silence is agreement.

import type { Chunk, WalkedEntry } from "../walk.ts";
import { chunkFolder, inChunk, nulList } from "../walk.ts";
import { type Aspect, isHugeSparse } from "./dump.ts";

export async function judgeRsync(
  source: Chunk,
  entries: readonly WalkedEntry[],
  restored: Chunk,
  ignore: ReadonlySet<Aspect>,
): Promise<string[]> {
  const options = ["-lpDn", "-i", "--numeric-ids", "--modify-window=-1", "--dirs", "--from0", "--files-from=-"];
  const wanted: [Aspect, string][] = [
    ["owner", "-og"],
    ["mtime", "-t"],
    ["xattrs", "-X"],
    ["acls", "-A"],
    ["hardlinks", "-H"],
    ["content", "-c"],
  ];
  for (const [aspect, option] of wanted) if (!ignore.has(aspect)) options.push(option);
  // xfs shows ACLs twice, the second time in a form that only xfs knows.
  if (!ignore.has("xattrs")) options.push("--filter=-x trusted.SGI_ACL_*");
  if (ignore.has("content")) options.push("--size-only");
  // Given the root by name, rsync would list its contents too, huge files included. The other judges see the root.
  const names = entries.filter((entry) => entry.path !== "" && !isHugeSparse(entry));
  const target = `${chunkFolder(restored)}/`;
  const { stdout, stderr, status } = await inChunk(source, ["rsync", ...options, "./", target], nulList(names));
  const lines = stdout.split("\n").filter((line) => line !== "");
  if (status !== 0) lines.push(`status ${status}: ${stderr}`);
  return lines.map((line) => `rsync: ${line}`);
}
