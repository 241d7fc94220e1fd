// POSIX ACLs between the kernel's form (the value of system.posix_acl_access and system.posix_acl_default; include/uapi/linux/posix_acl_xattr.h)
// and the text in SCHILY.acl.access and SCHILY.acl.default: numeric ids, commas, the kernel's order.
//
//   kernel: u32 version 2, then per entry u16 tag, u16 permissions, u32 id (0xFFFFFFFF where there is none), little-endian
//   text:   user::rwx,user:99:r-x,group::r-x,group:7:r--,mask::rwx,other::r--
//
// The conversion is exact both ways, or refused: never an ACL that means something else.

import { decodeUtf8, utf8, viewOf } from "../base/bytes.ts";

const version = 2;
const headerLength = 4;
const entryLength = 8;
const noId = 0xffff_ffff;

const tags = { userObject: 1, user: 2, groupObject: 4, group: 8, mask: 16, other: 32 } as const;
/** Rank of each tag: the kernel refuses ACLs in another order (posix_acl_valid in fs/posix_acl.c). */
const order: readonly number[] = [tags.userObject, tags.user, tags.groupObject, tags.group, tags.mask, tags.other];

interface AclEntry {
  readonly tag: number;
  readonly permissions: number;
  /** noId for all but named users and groups. */
  readonly id: number;
}

/** ACL text of a kernel value; undefined when it is none that the kernel would take. */
export function aclToText(value: Uint8Array): Uint8Array | undefined {
  if (value.length < headerLength || (value.length - headerLength) % entryLength !== 0) return undefined;
  const view = viewOf(value);
  if (view.getUint32(0, true) !== version) return undefined;
  const entries: AclEntry[] = [];
  for (let at = headerLength; at < value.length; at += entryLength) {
    entries.push({
      tag: view.getUint16(at, true),
      permissions: view.getUint16(at + 2, true),
      id: view.getUint32(at + 4, true),
    });
  }
  return isValid(entries) ? utf8(entries.map(entryToText).join(",")) : undefined;
}

/** Kernel value of ACL text; undefined for text that aclToText() does not write. */
export function aclFromText(text: Uint8Array): Uint8Array | undefined {
  const words = decodeUtf8(text)?.split(",");
  if (words === undefined) return undefined;
  const entries: AclEntry[] = [];
  for (const word of words) {
    const entry = entryFromText(word);
    if (entry === undefined) return undefined;
    entries.push(entry);
  }
  if (!isValid(entries)) return undefined;
  const value = new Uint8Array(headerLength + entries.length * entryLength);
  const view = new DataView(value.buffer);
  view.setUint32(0, version, true);
  entries.forEach((entry, index) => {
    const at = headerLength + index * entryLength;
    view.setUint16(at, entry.tag, true);
    view.setUint16(at + 2, entry.permissions, true);
    view.setUint32(at + 4, entry.id, true);
  });
  return value;
}

/** One of each unnamed entry, all in the kernel's order, a mask where a named entry asks for one, ids only where they belong. */
function isValid(entries: readonly AclEntry[]): boolean {
  const counts = order.map((tag) => entries.filter((entry) => entry.tag === tag).length);
  const [userObjects, users, groupObjects, groups, masks, others] = counts as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  if (userObjects !== 1 || groupObjects !== 1 || others !== 1 || masks > 1) return false;
  if (users + groups > 0 && masks === 0) return false;
  return entries.every((entry, index) => {
    const previous = entries[index - 1];
    const rank = order.indexOf(entry.tag);
    const named = entry.tag === tags.user || entry.tag === tags.group;
    const inOrder = previous === undefined || rank >= order.indexOf(previous.tag);
    return rank >= 0 && inOrder && entry.permissions <= 7 && named === (entry.id !== noId);
  });
}

const words = new Map<number, string>([
  [tags.userObject, "user"],
  [tags.user, "user"],
  [tags.groupObject, "group"],
  [tags.group, "group"],
  [tags.mask, "mask"],
  [tags.other, "other"],
]);

function entryToText(entry: AclEntry): string {
  const { tag, permissions, id } = entry;
  const letters = `${permissions & 4 ? "r" : "-"}${permissions & 2 ? "w" : "-"}${permissions & 1 ? "x" : "-"}`;
  return `${words.get(tag)}:${id === noId ? "" : id}:${letters}`;
}

function entryFromText(text: string): AclEntry | undefined {
  const match = /^(user|group|mask|other):(0|[1-9]\d{0,9})?:([r-])([w-])([x-])$/.exec(text);
  if (match === null) return undefined;
  const [, word, digits, read, write, execute] = match;
  const permissions = (read === "r" ? 4 : 0) | (write === "w" ? 2 : 0) | (execute === "x" ? 1 : 0);
  if (digits === undefined) {
    const tag = { user: tags.userObject, group: tags.groupObject, mask: tags.mask, other: tags.other }[word as "user"];
    return { tag, permissions, id: noId };
  }
  const id = Number(digits);
  if (id >= noId || (word !== "user" && word !== "group")) return undefined;
  return { tag: word === "user" ? tags.user : tags.group, permissions, id };
}
