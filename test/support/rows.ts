import type { CatalogRow } from "../../src/model/catalog.ts";
import { EntryKind } from "../../src/model/entry.ts";

/** A catalog row with these fields; else that of an empty file. */
export function catalogRow(fields: Partial<CatalogRow> = {}): CatalogRow {
  return {
    kind: EntryKind.file,
    depth: 1,
    name: Buffer.from("f"),
    offset: 0,
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: 0,
    mtime: { seconds: 0, nanoseconds: 0 },
    atime: { seconds: 0, nanoseconds: 0 },
    inodeFlags: 0,
    projectId: 0,
    linked: false,
    changed: false,
    damaged: false,
    sparse: false,
    attributesLost: false,
    continued: false,
    ...fields,
  };
}
