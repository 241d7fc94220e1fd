// What a restore may rely on when it makes entries.

import type { WritePolicy } from "./protocol.ts";

/** Nothing is left out because a new entry would have it anyway. */
export function carefulPolicy(policy: WritePolicy): WritePolicy {
  return { ...policy, clearInheritedAcl: true, uid: -1, gid: -1 };
}
