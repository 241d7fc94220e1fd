// Directories below a destination that a restore was given: made where missing, never entered through a link.

import { TsfsaError } from "../base/errors.ts";
import { addon } from "../sys/addon.ts";
import { O_DIRECTORY, O_NOFOLLOW, O_RDONLY, RESOLVE_CONTAINED } from "../sys/constants.ts";
import { check, EEXIST, errnoName } from "../sys/errors.ts";

/** Opens (and makes) the directory `components` below `fd`; none: a descriptor of the same directory. */
export function openBelow(fd: number, components: readonly Uint8Array[]): number {
  const native = addon();
  let current = check(native.duplicate(fd), "dup");
  for (const component of components) {
    const made = native.mkdirAt(current, component, 0o755);
    const next =
      made < 0 && made !== -EEXIST
        ? made
        : native.openAt(current, component, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_CONTAINED);
    native.close(current);
    if (next < 0) {
      throw new TsfsaError(
        "TARGET_REFUSED",
        `cannot make or enter a directory below the destination: ${errnoName(-next)}`,
        {
          path: component,
          errno: errnoName(-next),
        },
      );
    }
    current = next;
  }
  return current;
}
