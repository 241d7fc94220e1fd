// The one error class and the closed list of its codes. Every failure a user can see has a code here,
// a row in docs/ERRORS.md and, through exitStatusOf(), an exit status. Match on code, never on text.

/** Exit status of each code (docs/ERRORS.md). Codes without a number of their own share 2. */
export const exitStatuses = {
  USAGE: 64,
  FAILED: 2,
  IO: 2,
  NO_PERMISSION: 2,
  SOURCE_MISSING: 2,
  SOURCE_UNREADABLE: 2,
  STRICT: 2,
  TOOL_MISSING: 2,
  TOOL_FAILED: 2,
  NO_SPACE: 2,
  UNSUPPORTED: 2,
  INTERNAL: 2,
  SOURCE_WRITABLE: 3,
  SOURCE_NOT_FILESYSTEM: 4,
  SOURCE_NEEDS_REPLAY: 5,
  ARCHIVE_EXISTS: 6,
  ARCHIVE_MISSING: 7,
  ARCHIVE_FOREIGN: 8,
  ARCHIVE_VERSION: 9,
  ARCHIVE_DAMAGED: 10,
  ARCHIVE_HOSTILE: 11,
  TARGET_REFUSED: 12,
  TARGET_TOO_SMALL: 13,
  SNAPSHOT_LOST: 14,
  SNAPSHOT_REFUSED: 15,
  HOOK_FAILED: 16,
} as const;

export type ErrorCode = keyof typeof exitStatuses;

export interface ErrorContext {
  /** Path or name the failure is about, as bytes where it came from a file system. */
  readonly path?: string | Uint8Array;
  /** Byte offset in the archive, device or file. */
  readonly offsetBytes?: number;
  /** Command line that was run, for TOOL_FAILED. */
  readonly command?: readonly string[];
  /** Name of the errno, such as `ENOSPC`. */
  readonly errno?: string;
  /** Ways forward, one sentence each, printed below the message. */
  readonly hints?: readonly string[];
  readonly cause?: unknown;
}

/** A failure with a stable code. The message says what was expected, what was found and where. */
export class TsfsaError extends Error {
  override readonly name = "TsfsaError";
  readonly code: ErrorCode;
  readonly context: ErrorContext;

  constructor(code: ErrorCode, message: string, context: ErrorContext = {}) {
    super(message, context.cause === undefined ? undefined : { cause: context.cause });
    this.code = code;
    this.context = context;
  }
}

/** Exit status for anything thrown: a TsfsaError by its code, all else 2. */
export function exitStatusOf(error: unknown): number {
  return error instanceof TsfsaError ? exitStatuses[error.code] : 2;
}
