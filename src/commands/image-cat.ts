// A file inside an image, for cat.

import type { ArchiveReader } from "../archive/reader.ts";
import { fromLatin1, latin1 } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { ExtFlaw } from "../filesystem/ext/flaw.ts";
import { rootInode } from "../filesystem/ext/filesystem.ts";
import { type ExtInode, inodeFlags } from "../filesystem/ext/inode.ts";
import { ExtTree } from "../filesystem/ext/tree.ts";
import { EntryKind } from "../model/entry.ts";
import type { CommandContext } from "../model/options.ts";
import type { WriteBytes } from "../restore/content.ts";
import { O_DIRECTORY, O_NOFOLLOW } from "../sys/constants.ts";
import { ELOOP, ENOENT, ENOTDIR, errnoName } from "../sys/errors.ts";
import { statLayout } from "../sys/layout.ts";
import { kindOfMode, readStat } from "../sys/stat.ts";
import { kindWords } from "./kind-words.ts";
import { type ImageFiles, openImageFiles } from "./image-files.ts";

const chunkBytes = 1024 * 1024;

/** Writes the file of this path. Its size; undefined: no image has it. Throws FAILED for what is no file, ARCHIVE_DAMAGED where blocks of it are lost. */
export async function catFromImages(
  reader: ArchiveReader,
  images: readonly number[],
  path: Uint8Array,
  write: WriteBytes,
  { signal, reporter }: Pick<CommandContext, "signal" | "reporter">,
): Promise<number | undefined> {
  const opened = await openImageFiles(reader, images, reporter);
  const [found, other] = opened.flatMap((files) => {
    const inode = find(files, path);
    return inode === undefined ? [] : [{ files, inode }];
  });
  if (other !== undefined) {
    throw new TsfsaError("USAGE", `several images hold ${Buffer.from(path).toString()}`, {
      hints: ["choose one with --id"],
    });
  }
  if (found === undefined) return undefined;
  const { files, inode } = found;
  for (let position = 0; position < inode.size; position += chunkBytes) {
    signal.throwIfAborted();
    const length = Math.min(chunkBytes, inode.size - position);
    const bytes = new Uint8Array(length);
    attempt(path, files, () => files.fs.read(inode, bytes, 0, length, position));
    await write(bytes);
  }
  return inode.size;
}

/** Undefined: there is none of this path. */
function find(files: ImageFiles, path: Uint8Array): ExtInode | undefined {
  const tree = new ExtTree(files.fs);
  const components = latin1(path).split("/");
  const name = fromLatin1(components.pop() ?? "");
  let directory: number = rootInode;
  for (const component of components) {
    directory = tree.openAt(directory, fromLatin1(component), O_DIRECTORY | O_NOFOLLOW);
    if (isMissing(path, files, directory)) return undefined;
  }
  const record = new Uint8Array(statLayout.size);
  if (isMissing(path, files, tree.statAt(directory, name, record))) return undefined;
  const { mode, ino } = readStat(record);
  const kind = kindOfMode(mode);
  if (kind !== EntryKind.file) {
    throw new TsfsaError("FAILED", `expected a file, found ${kindWords[kind] ?? "something else"}`, { path });
  }
  const inode = attempt(path, files, () => files.fs.inode(Number(ino)));
  if ((inode.flags & inodeFlags.encrypt) !== 0) throw unreadable(path, "ENOKEY");
  return inode;
}

/** Throws for what is there and cannot be read. */
function isMissing(path: Uint8Array, files: ImageFiles, result: number): boolean {
  if (result >= 0) return false;
  if (result === -ENOENT || result === -ENOTDIR || result === -ELOOP) return true;
  throwIfLost(files);
  throw unreadable(path, errnoName(-result));
}

function attempt<Value>(path: Uint8Array, files: ImageFiles, read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    throwIfLost(files);
    if (!(error instanceof ExtFlaw)) throw error;
    throw unreadable(path, `${errnoName(error.errno)} (${error.message})`);
  }
}

function throwIfLost({ image }: ImageFiles): void {
  const [lost] = image.damages;
  if (lost === undefined) return;
  const place = lost.block === undefined ? `at byte ${lost.offset} of the archive` : `block ${lost.block}`;
  throw new TsfsaError("ARCHIVE_DAMAGED", `${place}: ${lost.message}`);
}

function unreadable(path: Uint8Array, why: string): TsfsaError {
  return new TsfsaError("FAILED", `it cannot be read: ${why}`, { path });
}
