// Recognition of partition tables: a whole disk that holds one must not become a target by a slip.

import { Fields } from "../fields.ts";
import type { ByteReader } from "../reader.ts";
import type { Identity } from "../types.ts";

/** UEFI specification 2.10, section 5.3: header at the second logical sector (512 or 4096 bytes), backup in the last. */
export function identifyGpt(reader: ByteReader): Identity | undefined {
  for (const sectorSize of [512, 4096]) {
    for (const offset of [sectorSize, reader.sizeBytes - sectorSize]) {
      const header = new Fields(reader.read(offset, 92));
      if (!header.is(0, "EFI PART")) continue;
      return { type: "gpt", usage: "table", ...guid(header), blockSize: sectorSize };
    }
  }
  return undefined;
}

/** The first three fields of a GUID are little-endian. */
function guid(header: Fields): Partial<Identity> {
  const bytes = header.slice(56, 16);
  const mixed = new Fields(
    Uint8Array.from([3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15], (at) => bytes[at] ?? 0),
  );
  const uuid = mixed.uuid(0);
  return uuid === undefined ? {} : { uuid };
}

/** Master boot record: 0x55AA at 510 and a plausible table of four entries at 446, at least one of them used. */
export function identifyMbr(reader: ByteReader): Identity | undefined {
  const sector = new Fields(reader.read(0, 512));
  if (sector.u16(510) !== 0xaa55) return undefined;
  let used = 0;
  for (let entry = 0; entry < 4; entry += 1) {
    const at = 446 + entry * 16;
    if ((sector.u8(at) & 0x7f) !== 0) return undefined; // boot indicator: 0x00 or 0x80
    if (sector.u8(at + 4) !== 0 && sector.u32(at + 12) !== 0) used += 1;
  }
  const signature = sector.u32(440);
  return used === 0
    ? undefined
    : {
        type: "dos",
        usage: "table",
        ...(signature !== 0 && { uuid: signature.toString(16).padStart(8, "0") }),
        blockSize: 512,
      };
}
