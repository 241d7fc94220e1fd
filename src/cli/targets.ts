// The targets of restfs: `id=N,dest=TARGET[,mkfs=TYPE][,mkfsopt=OPTS][,label=L][,uuid=keep|new|UUID]`, fsarchiver's own grammar.
// In a value `\,` is a comma and `\\` a backslash; a backslash before anything else stands for itself (udev's `\x20`).

import { TsfsaError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { filesystemTypes } from "../model/filesystem-type.ts";
import type { RestoreTarget } from "../model/options.ts";
import { splitWords } from "./words.ts";

const keys = ["id", "dest", "mkfs", "mkfsopt", "label", "uuid"] as const;
type Key = (typeof keys)[number];

/** All targets of one command line; an id or a destination that stands in two of them is refused. */
export function parseTargets(texts: readonly string[]): readonly RestoreTarget[] {
  const targets = texts.map(parseTarget);
  const ids = new Set<number>();
  const destinations = new Set<string>();
  for (const { id, dest } of targets) {
    if (ids.has(id)) throw usage(`id=${id} stands in two targets: expected each source once`);
    if (destinations.has(dest)) throw usage(`dest=${dest} stands in two targets: expected each destination once`);
    ids.add(id);
    destinations.add(dest);
  }
  return targets;
}

export function parseTarget(text: string): RestoreTarget {
  const fields = parseFields(text);
  const { id, dest, mkfs, mkfsopt, label, uuid } = fields;
  if (id === undefined) throw usage(`the target ${quote(text)} has no id=N: which source of the archive goes there?`);
  if (dest === undefined || dest === "") throw usage(`the target ${quote(text)} has no dest=TARGET: where to?`);
  if (!/^\d{1,4}$/.test(id) || Number(id) >= limits.sources) {
    throw usage(
      `id=${id}: expected the number of a source, from 0 to ${limits.sources - 1}`,
      "`tsfsa archinfo ARCHIVE` shows the sources",
    );
  }
  if (mkfs !== undefined && !filesystemTypes.some((type) => type === mkfs)) {
    throw usage(`mkfs=${mkfs}: expected one of ${filesystemTypes.join(", ")}`);
  }
  return {
    id: Number(id),
    dest,
    ...(mkfs === undefined ? {} : { mkfs }),
    ...(mkfsopt === undefined ? {} : { mkfsopt: splitWords(mkfsopt, "mkfsopt") }),
    ...(label === undefined ? {} : { label }),
    ...(uuid === undefined ? {} : { uuid: parseUuid(uuid) }),
  };
}

function parseFields(text: string): Partial<Record<Key, string>> {
  const fields: Partial<Record<Key, string>> = {};
  for (const part of splitCommas(text)) {
    const equals = part.indexOf("=");
    const key = keys.find((name) => name === part.slice(0, equals));
    if (equals === -1 || key === undefined) {
      throw usage(
        `the target ${quote(text)} has ${quote(part)}: expected KEY=VALUE with one of the keys ${keys.join(", ")}`,
        "a comma in a value is written `\\,`",
      );
    }
    if (fields[key] !== undefined) throw usage(`the target ${quote(text)} has ${key}= twice`);
    fields[key] = part.slice(equals + 1);
  }
  return fields;
}

/** At commas that no backslash stands before; `\,` and `\\` are resolved. */
function splitCommas(text: string): string[] {
  const parts = [""];
  for (let i = 0; i < text.length; i++) {
    let character = text[i] as string;
    if (character === ",") {
      parts.push("");
      continue;
    }
    const next = text[i + 1];
    if (character === "\\" && (next === "," || next === "\\")) {
      character = next;
      i++;
    }
    parts[parts.length - 1] += character;
  }
  return parts;
}

function parseUuid(text: string): string {
  if (text === "keep" || text === "new") return text;
  if (!/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(text)) {
    throw usage(`uuid=${text}: expected keep, new or a UUID such as 1b4e28ba-2fa1-11d2-883f-0016d3cca427`);
  }
  return text.toLowerCase();
}

function quote(text: string): string {
  return JSON.stringify(text);
}

function usage(message: string, hint?: string): TsfsaError {
  return new TsfsaError("USAGE", message, hint === undefined ? {} : { hints: [hint] });
}
