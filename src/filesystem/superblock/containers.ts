// Recognition of what holds other things: swap, LVM2 physical volumes, LUKS, md members. A target that holds one is refused.

import { latin1 } from "../../base/bytes.ts";
import { Fields, formatUuid } from "../fields.ts";
import type { ByteReader } from "../reader.ts";
import type { Identity } from "../types.ts";

/** Linux include/linux/swap.h, union swap_header: the magic ends the first page, whose size is the machine's. */
export function identifySwap(reader: ByteReader): Identity | undefined {
  for (const pageSize of [4096, 8192, 16_384, 32_768, 65_536]) {
    const magic = new Fields(reader.read(pageSize - 10, 10));
    const isNew = magic.is(0, "SWAPSPACE2");
    if (isNew || magic.is(0, "SWAP-SPACE")) {
      const header = new Fields(reader.read(1024, 512));
      const label = isNew ? header.label(28, 16) : undefined;
      const uuid = isNew ? header.uuid(12) : undefined;
      return {
        type: "swap",
        usage: "swap",
        version: isNew ? "1" : "0",
        ...(label && { label }),
        ...(uuid && { uuid }),
        ...(isNew && { sizeBytes: (header.u32(4) + 1) * pageSize }),
        blockSize: pageSize,
      };
    }
    // A hibernated system lies in its swap; overwriting it loses the session.
    if (magic.is(0, "S1SUSPEND") || magic.is(0, "S2SUSPEND") || magic.is(0, "ULSUSPEND")) {
      return { type: "swsuspend", usage: "swap", blockSize: pageSize };
    }
  }
  return undefined;
}

/** LVM2 lib/label/label.h: label_header in one of the first four sectors; pv_header with UUID and size follows. */
export function identifyLvm(reader: ByteReader): Identity | undefined {
  for (let sector = 0; sector < 4; sector += 1) {
    const label = new Fields(reader.read(sector * 512, 512));
    if (!label.is(0, "LABELONE") || !label.is(24, "LVM2 001")) continue;
    const header = label.u32(20);
    const id = latin1(label.slice(header, 32));
    const sizeBytes = label.count(header + 32);
    return {
      type: "LVM2_member",
      usage: "container",
      version: "LVM2 001",
      ...(/^[\x21-\x7e]{32}$/.test(id) && {
        uuid: id.replace(/^(.{6})(.{4})(.{4})(.{4})(.{4})(.{4})(.{6})$/, "$1-$2-$3-$4-$5-$6-$7"),
      }),
      ...(Number.isFinite(sizeBytes) && { sizeBytes }),
    };
  }
  return undefined;
}

/** LUKS1 and LUKS2 on-disk format specifications: magic, u16 version (big-endian); LUKS2 may have lost its first header. */
export function identifyLuks(reader: ByteReader): Identity | undefined {
  const first = new Fields(reader.read(0, 512), "big");
  if (first.is(0, "LUKS") && first.u16(4) === 0xbabe) return luks(first);
  // Secondary LUKS2 headers stand at the end of the first, whose size is one of these.
  for (let offset = 0x4000; offset <= 0x400000; offset *= 2) {
    const second = new Fields(reader.read(offset, 512), "big");
    if (second.is(0, "SKUL") && second.u16(4) === 0xbabe) return luks(second);
  }
  return undefined;
}

function luks(header: Fields): Identity {
  const version = header.u16(6);
  const uuid = latin1(header.label(168, 40) ?? new Uint8Array(0)).toLowerCase();
  const label = version === 2 ? header.label(24, 48) : undefined;
  return {
    type: "crypto_LUKS",
    usage: "container",
    version: `${version}`,
    ...(label && { label }),
    ...(/^[0-9a-f-]{36}$/.test(uuid) && { uuid }),
  };
}

/** Linux include/uapi/linux/raid/md_p.h: version 0.90 near the end; 1.0 near the end, 1.1 at 0, 1.2 at 4 KiB. */
export function identifyMd(reader: ByteReader): Identity | undefined {
  const size = reader.sizeBytes;
  const places: [string, number][] = [
    ["1.1", 0],
    ["1.2", 4096],
    ["1.0", (Math.floor(size / 512) - 16 - ((Math.floor(size / 512) - 16) % 8)) * 512],
    ["0.90", Math.floor(size / 65_536) * 65_536 - 65_536],
  ];
  for (const [version, offset] of places) {
    if (offset < 0) continue;
    for (const endian of ["little", "big"] as const) {
      const sb = new Fields(reader.read(offset, 4096), endian);
      if (sb.u32(0) !== 0xa92b4efc) continue;
      if (version === "0.90") {
        if (sb.u32(4) !== 0) continue;
        return { type: "linux_raid_member", usage: "container", version: "0.90.0", ...uuid090(sb) };
      }
      if (sb.u32(4) !== 1 || sb.count(144) * 512 !== offset) continue; // super_offset
      const label = sb.label(32, 32);
      const uuid = sb.uuid(16);
      const sizeBytes = sb.count(80) * 512;
      return {
        type: "linux_raid_member",
        usage: "container",
        version,
        ...(label && { label }),
        ...(uuid && { uuid }),
        ...(Number.isSafeInteger(sizeBytes) && { sizeBytes }),
      };
    }
  }
  return undefined;
}

/** set_uuid0 stands apart from set_uuid1..3; md writes them in the machine's byte order. */
function uuid090(sb: Fields): Partial<Identity> {
  const bytes = new Uint8Array(16);
  bytes.set(sb.slice(20, 4), 0);
  bytes.set(sb.slice(52, 12), 4);
  return bytes.some((byte) => byte !== 0) ? { uuid: formatUuid(bytes) } : {};
}
