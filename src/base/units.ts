// Sizes, durations and rates as people write and read them, and names made harmless: C-escaped for terminals, base64 in JSON where they
// are not UTF-8. Bytes in, text out; nothing here knows the terminal.

import { decodeUtf8, toBase64 } from "./bytes.ts";

const binaryUnits = ["KiB", "MiB", "GiB", "TiB", "PiB"] as const;
/** Multipliers by what stands after the number; a lone letter is binary, as in mkfs and dd. */
const multipliers: ReadonlyMap<string, number> = new Map([
  ["", 1],
  ["b", 1],
  ...["k", "m", "g", "t", "p"].flatMap((letter, index): [string, number][] => [
    [letter, 1024 ** (index + 1)],
    [`${letter}ib`, 1024 ** (index + 1)],
    [`${letter}b`, 1000 ** (index + 1)],
  ]),
]);

/** Bytes of `4194304`, `4MiB`, `1.5 GiB`, `4M` (binary), `4MB` (decimal); undefined for anything else or what is no whole number of bytes. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d{1,16}(?:\.\d{1,9})?) ?([a-z]{0,3})$/i.exec(text);
  const multiplier = multipliers.get(match?.[2]?.toLowerCase() ?? "?");
  if (match === null || multiplier === undefined) return undefined;
  const bytes = Number(match[1]) * multiplier;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** `512 B`, `1.5 GiB`: three or four digits, binary units. */
export function formatSize(bytes: number): string {
  if (bytes < 1024) return `${Math.round(bytes)} B`;
  let value = bytes / 1024;
  let unit = 0;
  // 1023.95 would be printed as 1024.0
  while (value >= 1023.95 && unit < binaryUnits.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  const text = value.toFixed(digits);
  return `${text.includes(".") ? text.replace(/\.?0+$/, "") : text} ${binaryUnits[unit]}`;
}

/** `210 MiB/s`. */
export function formatRate(bytesPerSecond: number): string {
  return `${formatSize(bytesPerSecond)}/s`;
}

/** `0.4 s`, `12.3 s`, `3 min 05 s`, `2 h 03 min`, `4 d 01 h`. */
export function formatDuration(seconds: number): string {
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return pair(whole, "min", 60, "s");
  const minutes = Math.round(seconds / 60);
  if (minutes < 24 * 60) return pair(minutes, "h", 60, "min");
  return pair(Math.round(seconds / 3600), "d", 24, "h");
}

/** A duration in two units, the small one of two digits. */
function pair(value: number, large: string, ratio: number, small: string): string {
  return `${Math.floor(value / ratio)} ${large} ${String(value % ratio).padStart(2, "0")} ${small}`;
}

/** Places that are named before the rest is only counted. */
const rangesNamed = 8;

/** `bytes 0 to 4095, 8192 to 12287` of runs, pairs of offset and length; only the first ones are named. */
export function formatRanges(runs: ArrayLike<number>): string {
  const named: string[] = [];
  for (let i = 0; i < Math.min(runs.length, 2 * rangesNamed); i += 2) {
    const offset = runs[i] as number;
    named.push(`${offset} to ${offset + (runs[i + 1] as number) - 1}`);
  }
  const others = runs.length / 2 - named.length;
  return `bytes ${named.join(", ")}${others === 0 ? "" : ` and ${others} more ${others === 1 ? "place" : "places"}`}`;
}

const shortEscapes: ReadonlyMap<number, string> = new Map([
  [0x07, "\\a"],
  [0x08, "\\b"],
  [0x09, "\\t"],
  [0x0a, "\\n"],
  [0x0b, "\\v"],
  [0x0c, "\\f"],
  [0x0d, "\\r"],
  [0x5c, "\\\\"],
]);

let unprintable: RegExp | undefined;

/**
 * Of characters that show as something else than themselves: C1 controls, bidirectional and other format controls (Cf), line and paragraph separators,
 * private use, unassigned. The pattern is made when it is wanted: V8 takes half a millisecond to read it.
 */
function isUnprintable(text: string): boolean {
  unprintable ??= new RegExp(String.raw`[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]`, "u");
  return unprintable.test(text);
}

/**
 * A name for a terminal: printable UTF-8 as it is; control bytes and backslash in C's short forms; bytes of anything else (not UTF-8, C1, bidirectional
 * controls) as three octal digits each. One-to-one: unescaping gives the bytes back.
 */
export function escapeName(bytes: Uint8Array): string {
  if (isAllPlain(bytes)) return decodeUtf8(bytes) ?? ""; // nearly every name: listings ask for each entry
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const length = sequenceLength(bytes[at] as number);
    const sequence = bytes.subarray(at, at + length);
    const character = sequence.length === length ? decodeUtf8(sequence) : undefined;
    if (length === 1 || character === undefined || isUnprintable(character)) {
      const taken = character === undefined ? 1 : length;
      for (const byte of bytes.subarray(at, at + taken)) text += escapeByte(byte);
      at += taken;
    } else {
      text += character;
      at += length;
    }
  }
  return text;
}

function isAllPlain(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at++) if (!isPlain(bytes[at] as number)) return false;
  return true;
}

/** Printable ASCII but the backslash. */
function isPlain(byte: number): boolean {
  return byte >= 0x20 && byte < 0x7f && byte !== 0x5c;
}

/** Bytes of the UTF-8 sequence that a byte begins; 1 where it begins none. */
function sequenceLength(byte: number): number {
  if (byte >= 0xf0 && byte < 0xf8) return 4;
  if (byte >= 0xe0) return byte < 0xf0 ? 3 : 1;
  return byte >= 0xc0 ? 2 : 1;
}

function escapeByte(byte: number): string {
  if (isPlain(byte)) return String.fromCharCode(byte);
  return shortEscapes.get(byte) ?? `\\${byte.toString(8).padStart(3, "0")}`;
}

/** A word as POSIX shells read it; `$'…'` (bash, POSIX 2024) where it holds what a terminal should not get. */
export function shellWord(bytes: Uint8Array): string {
  const text = decodeUtf8(bytes);
  if (text !== undefined && /^[\w@%+=:,./^-]+$/.test(text)) return text;
  if (text !== undefined && !isUnprintable(text)) return `'${text.replaceAll("'", "'\\''")}'`;
  let quoted = "";
  for (const byte of bytes) {
    const isSafe = isPlain(byte) && byte !== 0x27;
    quoted += isSafe ? String.fromCharCode(byte) : `\\${byte.toString(8).padStart(3, "0")}`;
  }
  return `$'${quoted}'`;
}

/** A name for JSON: its text, or base64 of its bytes where they are not UTF-8. */
export function pathJson(bytes: Uint8Array): { path: string } | { pathBase64: string } {
  const path = decodeUtf8(bytes);
  return path === undefined ? { pathBase64: toBase64(bytes) } : { path };
}
