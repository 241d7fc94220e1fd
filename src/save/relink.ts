// Further names of objects that could not be read. The plan made them hard links before anybody knew; here the next name that still stands takes the
// object's place, and the others become links to it. An archive never holds a link to an absent entry.

import { EntryKind } from "../model/entry.ts";
import { ENOENT, ESTALE } from "../sys/errors.ts";
import { entryFlags, readInt64, statLayout } from "../sys/layout.ts";
import { kindOfMode } from "../sys/stat.ts";
import type { TreeSource } from "../sys/tree-source.ts";
import { BatchWriter, EntryBatch, type ReadEntry } from "./batch.ts";
import type { LinkTarget } from "./links.ts";
import { memberName } from "./member-name.ts";
import type { LostEntry, LostObjects, PackInput } from "./protocol.ts";

const noPath = new Uint8Array(0);

/** The links of one pack job, which is packed again whenever an object among its entries turns out to be lost. */
export class Relinker {
  readonly #input: PackInput;
  readonly #tree: TreeSource;
  /** By the number that the plan's links name. */
  readonly #lost: Map<number, LinkTarget | undefined>;
  /** Numbers of this job's entries in the place of an object → the object. */
  readonly #inPlace = new Map<number, number>();
  /** Entries of this job that are absent by now: index → errno. */
  readonly #absent = new Map<number, number>();
  /** Objects whose content no name gives: → errno. */
  readonly #unreadable = new Map<number, number>();

  constructor(input: PackInput, tree: TreeSource) {
    this.#input = input;
    this.#tree = tree;
    this.#lost = new Map(input.lost);
  }

  /** The lost objects that this job knows of, and what stands in their place. */
  get lost(): LostObjects {
    return this.#lost;
  }

  /** The job as it is to be packed now. */
  input(): PackInput {
    const { entries, count } = this.#input;
    if (this.#lost.size === 0) return this.#input;
    const batch = new BatchWriter();
    const planned = new EntryBatch(entries, count);
    for (let index = 0; index < count; index++) {
      const entry = planned.entry(index);
      const source = { names: entry.name, nameStart: 0, nameLength: entry.name.length, stats: planned.view };
      batch.add(entry.directory, this.#relinked(index, entry), { ...source, statOffset: entry.statOffset });
    }
    return { ...this.#input, entries: batch.finish() };
  }

  /** Takes the entries with further names that could not be read. True: the job must be packed again. */
  lose(entries: readonly LostEntry[]): boolean {
    const objects = new Set<number>();
    for (const { entry, errno } of entries) {
      const object = this.#inPlace.get(entry) ?? entry;
      if (this.#lost.has(object) && this.#lost.get(object)?.entry !== entry) continue;
      this.#absent.set(entry - this.#input.firstEntry, errno);
      // A name that is gone says nothing of the others; one that cannot be read a second time does.
      if (this.#inPlace.has(entry) && errno !== ENOENT && errno !== ESTALE) this.#unreadable.set(object, errno);
      this.#lost.set(object, undefined);
      objects.add(object);
    }
    if (objects.size === 0) return false;
    const planned = new EntryBatch(this.#input.entries, this.#input.count);
    for (let i = 0; i < planned.length; i++) if (objects.has(planned.entry(i).linkEntry)) return true;
    return false;
  }

  #relinked(index: number, entry: ReadEntry): ReadEntry {
    const object = entry.linkEntry;
    const isLink = object >= 0 && this.#lost.has(object);
    const errno =
      this.#absent.get(index) ?? (isLink && this.#lost.get(object) === undefined ? this.#errnoOf(entry) : 0);
    if (errno !== 0) {
      this.#absent.set(index, errno);
      return { ...entry, kind: EntryKind.absent, flags: 0, errno, linkEntry: -1, linkPath: noPath };
    }
    if (!isLink) return entry;
    const number = this.#input.firstEntry + index;
    let target = this.#lost.get(object);
    if (target === undefined) {
      target = { entry: number, path: memberName(this.#input, entry) };
      this.#lost.set(object, target);
      this.#inPlace.set(number, object);
    }
    if (target.entry !== number) {
      return { ...entry, linkEntry: target.entry, linkPath: entry.kind === EntryKind.socket ? noPath : target.path };
    }
    const view = new DataView(this.#input.entries.buffer, this.#input.entries.byteOffset);
    const kind = kindOfMode(view.getUint32(entry.statOffset + statLayout.mode, true));
    return { ...entry, kind, flags: entryFlags.linked, linkEntry: -1, linkPath: noPath };
  }

  /** Why a name cannot take the place of its object; 0: it stands, and is the same inode. */
  #errnoOf(entry: ReadEntry): number {
    const unreadable = this.#unreadable.get(entry.linkEntry);
    if (unreadable !== undefined) return unreadable;
    const dirFd = this.#input.dirFds[entry.directory] as number;
    if (dirFd < 0) return -dirFd;
    const stat = new Uint8Array(statLayout.size);
    const status = this.#tree.statAt(dirFd, entry.name, stat);
    if (status < 0) return -status;
    const planned = new DataView(this.#input.entries.buffer, this.#input.entries.byteOffset);
    const { ino } = statLayout;
    return readInt64(planned, entry.statOffset + ino) === readInt64(new DataView(stat.buffer), ino) ? 0 : ESTALE;
  }
}
