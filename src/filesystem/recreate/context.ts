// What the planners of the three families are given and give back.

import type { FilesystemDescription } from "../../model/archive.ts";
import type { FilesystemType } from "../../model/filesystem-type.ts";
import type { ToolCommand } from "../types.ts";
import type { ToolSupport } from "./tools.ts";

export interface PlanTarget {
  readonly sizeBytes: number;
  /** Logical sectors of the device, bytes. */
  readonly sectorSize: number;
}

/** What the planners of the types get; warnings are added to. */
export interface PlanContext extends PlanTarget {
  readonly type: FilesystemType;
  readonly description: FilesystemDescription;
  /** Empty: none. Text where it is UTF-8. */
  readonly label: string | Uint8Array;
  readonly uuid: string;
  readonly mkfsOptions: readonly string[];
  readonly support: ToolSupport;
  readonly warnings: string[];
}

export interface TypePlan {
  readonly commands: readonly ToolCommand[];
}
