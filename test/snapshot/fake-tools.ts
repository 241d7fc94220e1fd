// A machine's tools as a value. Any call can be made to fail before it does anything, or after it has done its work, as a tool that is killed late does.

import type { ToolOptions, ToolResult, ToolRunner } from "../../src/filesystem/recreate/tools.ts";

export interface FakeFailure {
  /** Number of the call, from 0. */
  readonly call: number;
  readonly after: boolean;
}

/** Standard output of a call that succeeds, or how it fails. */
export type Answer = string | ToolResult;

export abstract class FakeTools {
  readonly calls: string[] = [];
  failure: FakeFailure | undefined;

  readonly run: ToolRunner = (command, options = {}) => {
    const words = command.arguments.map(String);
    const isFailing = this.failure?.call === this.calls.length;
    this.calls.push([command.program, ...words].join(" "));
    if (isFailing && this.failure?.after === false) return Promise.resolve(failed);
    const answer = this.answer(command.program, words, options);
    if (isFailing) return Promise.resolve(failed);
    return Promise.resolve(typeof answer === "string" ? { status: 0, stdout: answer, stderr: "" } : answer);
  };

  /** What a run left that was not there before; empty when nothing. */
  abstract left(): unknown;

  protected abstract answer(program: string, words: readonly string[], options: ToolOptions): Answer;
}

export const failed: ToolResult = { status: 5, stdout: "", stderr: "  made to fail\n" };
