// What an entry is, where a file was expected.

import { EntryKind } from "../model/entry.ts";

export const kindWords: Partial<Record<EntryKind, string>> = {
  [EntryKind.directory]: "a directory",
  [EntryKind.symlink]: "a symbolic link",
  [EntryKind.charDevice]: "a device",
  [EntryKind.blockDevice]: "a device",
  [EntryKind.fifo]: "a fifo",
  [EntryKind.socket]: "a socket",
  [EntryKind.absent]: "an entry that could not be read when the archive was made",
};
