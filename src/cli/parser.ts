// What the files that add commands to the command line get, and what they give.

import type { Command, Option } from "commander";
import type { Request } from "./invocation.ts";

export interface OutputFlags {
  json?: true;
  verbose?: true;
  quiet?: true;
}

export interface Parser {
  readonly program: Command;
  /** Makes the option -j. */
  readonly jobs: () => Option;
  /** Takes what the command line asks for. */
  readonly take: (flags: OutputFlags, request: Request) => void;
}

/** By the name of the command. */
export type CommandAdders = Readonly<Record<string, (parser: Parser) => void>>;
