// What a restore may rely on when it makes entries.

import { utf8 } from "../base/bytes.ts";
import { aclAttributes } from "../format/member.ts";
import { addon } from "../sys/addon.ts";
import type { DirectoryHandle } from "../sys/directory.ts";
import { statDescriptor } from "../sys/stat.ts";
import { noName, settableFlags } from "./metadata.ts";
import type { WritePolicy } from "./protocol.ts";

const setgid = 0o2000;
const defaultAcl = utf8(aclAttributes.default);

/** The directory gives new entries its group, an ACL or inode flags. */
export function passesOn(directory: DirectoryHandle): boolean {
  const fd = directory.acquire();
  try {
    if ((statDescriptor(fd).mode & setgid) !== 0) return true;
    const flags = addon().getInodeFlags(fd); // an errno where there are none
    if (flags > 0 && (flags & settableFlags) !== 0) return true;
    return typeof addon().getAttribute(fd, noName, defaultAcl) !== "number";
  } finally {
    directory.release();
  }
}

/** Nothing is left out because a new entry would have it anyway: for entries among others that were there before. */
export function carefulPolicy(policy: WritePolicy): WritePolicy {
  return { ...policy, clearInheritedAcl: true, uid: -1, gid: -1 };
}
