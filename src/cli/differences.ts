// What differs as one line: `- path` is only in the archive, `+ path` is not in it, `~ path: what` has changed.

import { escapeName } from "../base/units.ts";
import type { Difference, FieldDifference } from "../model/difference.ts";

/** Of values that are sets. */
const none = "none";
const marks = { removed: "-", added: "+", changed: "~" } as const;

export function differenceText({ change, path, fields }: Difference): string {
  const name = path.length === 0 ? "." : escapeName(path);
  return `${marks[change]} ${name}${fields.length === 0 ? "" : `: ${fields.map(fieldText).join(", ")}`}`;
}

/** `mode 0644 -> 0600`, `attribute user.x`, `content`, `content at bytes 4096 to 8191, …`. */
function fieldText({ field, name, archived, found, ranges }: FieldDifference): string {
  if (ranges !== undefined && ranges.length > 0) {
    const places = ranges.map(({ offset, length }) => `${offset} to ${offset + length - 1}`);
    return `${field} at bytes ${places.join(", ")}`;
  }
  const what = name === undefined ? field : `${field} ${escapeName(name)}`;
  return archived === undefined || found === undefined ? what : `${what} ${archived || none} -> ${found || none}`;
}
