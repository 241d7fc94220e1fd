// Plans how a file system is made again: from what an archive says of it, the target and the user's wishes, to the tools' exact
// command lines and the list of what will be lost. Nothing is run but questions to the tools; nothing is written.

import { randomUUID } from "node:crypto";
import { TsfsaError } from "../../base/errors.ts";
import { formatSize } from "../../base/units.ts";
import type { FilesystemDescription } from "../../model/archive.ts";
import { type FilesystemType, filesystemTypes } from "../../model/filesystem-type.ts";
import { labelBytes } from "../describe.ts";
import type { FilesystemOverrides, FilesystemPlan } from "../types.ts";
import { planBtrfs } from "./btrfs.ts";
import type { PlanTarget } from "./context.ts";
import { planExt } from "./ext.ts";
import { type ToolSupport, toolSupport } from "./tools.ts";
import { uuidPattern, Values } from "./values.ts";
import { planXfs } from "./xfs.ts";

/** Bytes a label can have: ext4.h s_volume_name, xfs_format.h XFSLABEL_MAX; BTRFS_LABEL_SIZE is 256 with its NUL, and mkfs.btrfs keeps 254. */
const labelBytesMax: Readonly<Record<FilesystemType, number>> = { ext2: 16, ext3: 16, ext4: 16, xfs: 12, btrfs: 254 };
const programs: Readonly<Record<FilesystemType, string>> = {
  ext2: "mke2fs",
  ext3: "mke2fs",
  ext4: "mke2fs",
  xfs: "mkfs.xfs",
  btrfs: "mkfs.btrfs",
};

/**
 * The plan for one target. Throws USAGE for wishes that make no sense, ARCHIVE_HOSTILE for a description that cannot be,
 * TARGET_TOO_SMALL, TOOL_MISSING.
 */
export async function planFilesystem(
  description: FilesystemDescription,
  target: PlanTarget,
  overrides: FilesystemOverrides = {},
): Promise<FilesystemPlan> {
  const type = typeFor(description, overrides);
  return planWith(description, target, overrides, await toolSupport(programs[type]));
}

/** The same with given answers of the tools. */
export function planWith(
  description: FilesystemDescription,
  target: PlanTarget,
  overrides: FilesystemOverrides,
  support: ToolSupport,
): FilesystemPlan {
  const type = typeFor(description, overrides);
  const checked = checkDescription(description);
  const warnings: string[] = [];
  const label = labelFor(type, checked, overrides, warnings);
  const uuid = uuidFor(checked, overrides, warnings);
  if (target.sizeBytes < checked.usedBytes) {
    warnings.push(
      `the target has ${formatSize(target.sizeBytes)}, and ${formatSize(checked.usedBytes)} were in use: it may not hold everything`,
    );
  }
  const planner = type === "xfs" ? planXfs : type === "btrfs" ? planBtrfs : planExt;
  const { commands } = planner({
    ...target,
    type,
    description: checked,
    label: textOrBytes(label),
    uuid,
    mkfsOptions: overrides.mkfsOptions ?? [],
    support,
    warnings,
  });
  return {
    type,
    label,
    uuid,
    sizeBytes: target.sizeBytes,
    commands,
    warnings,
    requires: [...new Set(commands.map((command) => command.program))],
  };
}

function typeFor(description: FilesystemDescription, overrides: FilesystemOverrides): FilesystemType {
  const asked = overrides.type ?? description.type;
  const type = filesystemTypes.find((each) => each === asked);
  if (type !== undefined) return type;
  const list = filesystemTypes.join(", ");
  if (overrides.type !== undefined)
    throw new TsfsaError("USAGE", `expected mkfs to be one of ${list}, found ${JSON.stringify(asked)}`);
  throw new TsfsaError("UNSUPPORTED", `the archive holds a ${JSON.stringify(asked)}, which this version cannot make`, {
    hints: [`give mkfs=TYPE: ${list}`],
  });
}

/** Fields outside `parameters`, checked like those inside. */
function checkDescription(description: FilesystemDescription): FilesystemDescription {
  const { sizeBytes, usedBytes, blockSize } = description;
  const values = new Values(description.type, { sizeBytes, usedBytes, blockSize });
  values.integer("sizeBytes", 1, Number.MAX_SAFE_INTEGER, 1);
  values.integer("usedBytes", 0, Number.MAX_SAFE_INTEGER, 0);
  values.powerOfTwo("blockSize", 512, 65_536, 4096);
  if (description.type.startsWith("ext")) values.powerOfTwo("blockSize", 1024, 65_536, 4096);
  if (typeof description.parameters !== "object" || description.parameters === null) {
    throw new TsfsaError("ARCHIVE_HOSTILE", "the archive's description of its file system has no parameters");
  }
  return description;
}

function labelFor(
  type: FilesystemType,
  description: FilesystemDescription,
  overrides: FilesystemOverrides,
  warnings: string[],
): Uint8Array {
  const most = labelBytesMax[type];
  const isOurs = overrides.label === undefined;
  const whole = isOurs ? labelBytes(description) : Buffer.from(overrides.label);
  if (whole.includes(0) || whole.length > 1024) {
    throw new TsfsaError(isOurs ? "ARCHIVE_HOSTILE" : "USAGE", "a label holds no NUL and at most 1024 bytes");
  }
  if (whole.length <= most) return whole;
  if (!isOurs)
    throw new TsfsaError("USAGE", `expected a label of at most ${most} bytes for ${type}, found ${whole.length}`);
  const label = cut(whole, most);
  warnings.push(`the label is cut from ${whole.length} to ${label.length} bytes: ${type} holds ${most}`);
  return label;
}

/** The first `most` bytes without half a UTF-8 character at the end. */
function cut(bytes: Uint8Array, most: number): Uint8Array {
  let end = most;
  if (typeof textOrBytes(bytes) === "string") while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.slice(0, end);
}

function textOrBytes(bytes: Uint8Array): string | Uint8Array {
  const text = Buffer.from(bytes).toString("utf8");
  return Buffer.from(text, "utf8").equals(bytes) ? text : bytes;
}

function uuidFor(description: FilesystemDescription, overrides: FilesystemOverrides, warnings: string[]): string {
  const asked = overrides.uuid ?? "keep";
  if (asked === "new") return randomUUID();
  if (asked !== "keep") {
    const uuid = asked.toLowerCase();
    if (uuidPattern.test(uuid)) return uuid;
    throw new TsfsaError("USAGE", `expected uuid to be keep, new or a UUID, found ${JSON.stringify(asked)}`);
  }
  const { uuid } = description;
  if (uuid === null) return randomUUID();
  if (typeof uuid === "string" && uuidPattern.test(uuid)) return uuid;
  warnings.push("the UUID is not kept: the archive's is none");
  return randomUUID();
}
