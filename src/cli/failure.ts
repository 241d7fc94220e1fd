// Anything thrown → what a user is told of it: one sentence, ways forward, exit status. The one place where foreign exceptions get a code.

import { type ErrorCode, exitStatusOf, TsfsaError } from "../base/errors.ts";

export interface Failure {
  readonly code: ErrorCode;
  /** One sentence; more lines only where a tool or the help had more to say. */
  readonly message: string;
  readonly hints: readonly string[];
  readonly path?: string | Uint8Array;
  readonly offsetBytes?: number;
  readonly errno?: string;
  /** Command line that failed, for TOOL_FAILED. */
  readonly command?: readonly string[];
  /** Of unexpected exceptions only. */
  readonly stack?: string;
  readonly exitStatus: number;
}

export function describeFailure(error: unknown): Failure {
  const known = error instanceof TsfsaError ? error : (systemFailure(error) ?? unexpected(error));
  const { path, offsetBytes, errno, command, hints = [], cause } = known.context;
  const stack = known.code === "INTERNAL" ? stackOf(cause ?? known) : undefined;
  return {
    code: known.code,
    message: known.message,
    hints,
    ...(path === undefined ? {} : { path }),
    ...(offsetBytes === undefined ? {} : { offsetBytes }),
    ...(errno === undefined ? {} : { errno }),
    ...(command === undefined ? {} : { command }),
    ...(stack === undefined ? {} : { stack }),
    exitStatus: exitStatusOf(known),
  };
}

/** Errors of Node's own fs, child_process and loader that no layer has put into words. */
function systemFailure(error: unknown): TsfsaError | undefined {
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "string") return undefined;
  if (error.code === "ERR_DLOPEN_FAILED") return new TsfsaError("FAILED", error.message, { cause: error });
  if (!("errno" in error)) return undefined;
  const path = "path" in error && typeof error.path === "string" ? { path: error.path } : {};
  return new TsfsaError(codeOf(error.code), error.message, { ...path, errno: error.code, cause: error });
}

function codeOf(errno: string): ErrorCode {
  if (errno === "ENOSPC" || errno === "EDQUOT") return "NO_SPACE";
  if (errno === "EACCES" || errno === "EPERM") return "NO_PERMISSION";
  return "IO";
}

function unexpected(error: unknown): TsfsaError {
  const found = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new TsfsaError("INTERNAL", `this is a defect of tsfsa: ${found}`, {
    hints: ["please report it with the output of the same command and -v"],
    cause: error,
  });
}

function stackOf(error: unknown): string | undefined {
  return error instanceof Error ? error.stack : undefined;
}
