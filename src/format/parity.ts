// Parity of a catalog segment (docs/FORMAT.md, section 6): 4,096 bytes at the end of its payload, so that the bytes at offsets that are equal modulo
// 4,096 give zero together (XOR). Of up to 4,096 bytes in a row that were changed no two stand at equal offsets, so each can be told from the others.

import { sectorLength } from "../base/limits.ts";

export const parityLength = sectorLength;

/** `bytes` with their parity behind them. */
export function withParity(bytes: Uint8Array): Uint8Array {
  const payload = new Uint8Array(bytes.length + parityLength);
  payload.set(bytes);
  const sums = columnSums(bytes);
  for (let at = bytes.length; at < payload.length; at++) payload[at] = sums[at % parityLength] as number;
  return payload;
}

export function hasParity(payload: Uint8Array): boolean {
  return payload.length > parityLength && columnSums(payload).every((sum) => sum === 0);
}

/**
 * What a payload may have been before up to 4,096 bytes in a row were changed, the likeliest first: each time the same array. What it was, its checksum
 * must tell. `offset`: of the payload in the archive.
 */
export function* repairs(damaged: Uint8Array, offset: number): Generator<Uint8Array, void> {
  const sums = columnSums(damaged);
  const columns = [...sums.keys()].filter((column) => sums[column] !== 0);
  const payload = damaged.slice();
  for (const start of columns.length === 0 ? [] : damageStarts(columns, damaged.length, offset)) {
    const places = columns.map((column) => start + modulo(column - start, parityLength));
    if (places.some((at) => at < 0 || at >= payload.length)) continue;
    const change = (): void => {
      for (const [i, at] of places.entries())
        payload[at] = (payload[at] as number) ^ (sums[columns[i] as number] as number);
    };
    change();
    yield payload;
    change();
  }
}

/** Where the change may begin, also before the payload: where changed columns follow the most that are not, in each row; and at sectors. */
function* damageStarts(columns: readonly number[], length: number, offset: number): Generator<number, void> {
  let widest = 0;
  let first = 0;
  for (const [i, column] of columns.entries()) {
    const gap = modulo(column - (columns.at(i - 1) as number) - 1, parityLength);
    if (gap >= widest) [widest, first] = [gap, column];
  }
  for (let start = first - parityLength; start < length; start += parityLength) yield start;
  const sector = 512;
  for (let start = -modulo(offset, sector) - parityLength + sector; start < length; start += sector) yield start;
}

function columnSums(bytes: Uint8Array): Uint8Array {
  const sums = new Uint8Array(parityLength);
  for (let row = 0; row < bytes.length; row += parityLength) {
    const end = Math.min(parityLength, bytes.length - row);
    for (let column = 0; column < end; column++)
      sums[column] = (sums[column] as number) ^ (bytes[row + column] as number);
  }
  return sums;
}

function modulo(value: number, divisor: number): number {
  return ((value % divisor) + divisor) % divisor;
}
