// The entries inside an image as a listing shows them: as they would stand in an archive of its files.

import type { PathSelection } from "../base/pattern.ts";
import { walkTree, type WalkedEntry } from "../filesystem/ext/walk.ts";
import type { CatalogRow } from "../model/catalog.ts";
import { EntryKind } from "../model/entry.ts";
import type { Reporter } from "../model/events.ts";
import type { ListedEntry } from "../model/options.ts";
import { errnoName } from "../sys/errors.ts";
import { kindOfMode } from "../sys/stat.ts";
import type { ImageFiles } from "./image-files.ts";

/** The first name of an inode with several. */
interface LinkObject {
  readonly number: number;
  readonly path: Uint8Array;
}

/** Selected entries in the archive's order. What cannot be read is told. */
export function* imageEntries(
  { source, fs }: ImageFiles,
  selection: PathSelection,
  reporter: Reporter,
): Generator<ListedEntry, void> {
  const objects = new Map<number | bigint, LinkObject>();
  let number = 0;
  const enters = (path: Uint8Array): boolean =>
    selection.empty || path.length === 0 || selection.selects(path, true) || selection.mayHold(path);
  for (const entry of walkTree(fs, enters)) {
    const { path, stat, errno } = entry;
    const isDirectory = stat !== undefined && kindOfMode(stat.mode) === EntryKind.directory;
    if (!selection.empty && !selection.selects(path, isDirectory)) continue;
    if (errno !== 0) {
      const message = `${isDirectory ? "what is in it" : "it"} cannot be read: ${errnoName(errno)}`;
      reporter.warning({ code: "ENTRY_UNREADABLE", path, message, errno: errnoName(errno) });
    }
    const isLinked = stat !== undefined && !isDirectory && stat.nlink > 1;
    const object = isLinked ? objects.get(stat.ino) : undefined;
    if (isLinked && object === undefined) objects.set(stat.ino, { number, path });
    const row = rowOf(entry, object);
    yield object === undefined ? { source, number, path, row } : { source, number, path, row, linkPath: object.path };
    number++;
  }
}

function rowOf(entry: WalkedEntry, object: LinkObject | undefined): CatalogRow {
  const { depth, name, stat, inodeFlags, projectId, target, errno } = entry;
  const kind = stat === undefined ? EntryKind.absent : kindOfMode(stat.mode);
  const isDevice = kind === EntryKind.charDevice || kind === EntryKind.blockDevice;
  const isLink = object !== undefined && kind !== EntryKind.socket;
  const hasFlags = (kind === EntryKind.file || kind === EntryKind.directory) && object === undefined;
  const hasSize = (kind === EntryKind.file || kind === EntryKind.symlink) && object === undefined;
  const noTime = { seconds: 0, nanoseconds: 0 };
  return {
    kind: isLink ? EntryKind.hardlink : kind,
    depth,
    name,
    offset: 0,
    mode: (stat?.mode ?? 0) & 0o7777,
    uid: stat?.uid ?? 0,
    gid: stat?.gid ?? 0,
    size: hasSize ? (stat?.sizeBytes ?? 0) : 0,
    device: isDevice && object === undefined ? stat?.rdev : undefined,
    mtime: stat?.mtime ?? noTime,
    atime: stat?.atime ?? noTime,
    btime: stat?.btime,
    inodeFlags: hasFlags ? inodeFlags : 0,
    projectId: hasFlags ? projectId : 0,
    linked: stat !== undefined && kind !== EntryKind.directory && stat.nlink > 1,
    changed: false,
    damaged: false,
    sparse: false,
    attributesLost: false,
    continued: false,
    symlinkTarget: object === undefined ? target : undefined,
    linkEntry: object?.number,
    absentReason: stat === undefined ? errnoName(errno) : undefined,
  };
}
