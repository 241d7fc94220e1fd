// A process for the cli to run in: streams that remember, commands that do what a test says, a clock that stands still.

import { EventEmitter } from "node:events";
import { PassThrough, Writable } from "node:stream";
import type { CommandTable } from "../../src/cli/commands.ts";
import type { Host } from "../../src/cli/host.ts";
import { run } from "../../src/cli/run.ts";
import type { Head, SourceTotals, Summary } from "../../src/model/archive.ts";
import type { Outcome } from "../../src/model/options.ts";

export class Capture extends Writable {
  text = "";
  columns = 80;
  /** Every write fails with this errno. */
  failure: string | undefined;

  constructor() {
    super({ decodeStrings: false });
  }

  override _write(chunk: string, _encoding: string, written: (error?: Error) => void): void {
    if (this.failure === undefined) {
      this.text += chunk;
      written();
    } else {
      written(Object.assign(new Error(`write ${this.failure}`), { code: this.failure, errno: -32, syscall: "write" }));
    }
  }
}

export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

function missing(): Promise<never> {
  return Promise.reject(new Error("not part of this test"));
}

export class FakeHost implements Host {
  readonly stdin: PassThrough = new PassThrough();
  readonly stdout = new Capture();
  readonly stderr = new Capture();
  readonly terminals = { stdin: false, stdout: false, stderr: false };
  readonly lacksOutput = (): boolean => false;
  environment: Record<string, string | undefined> = {};
  readonly processors = 2;
  readonly events = new EventEmitter();
  readonly ended: (string | number)[] = [];
  nowMs = 0;
  readonly commands: CommandTable;

  constructor(commands: Partial<CommandTable>) {
    this.commands = {
      snapshot: missing,
      cleanup: missing,
      savefs: missing,
      savedir: missing,
      saveimg: missing,
      restimg: missing,
      restfs: missing,
      restdir: missing,
      extract: missing,
      cat: missing,
      archinfo: missing,
      list: missing,
      du: missing,
      diff: missing,
      verify: missing,
      probe: missing,
      salvage: missing,
      ...commands,
    };
  }

  now(): number {
    return this.nowMs;
  }

  die(signal: string): void {
    this.ended.push(signal);
  }

  exit(status: number): void {
    this.ended.push(status);
  }

  async run(...argv: string[]): Promise<Ran> {
    const status = await run(argv, this);
    return { status, stdout: this.stdout.text, stderr: this.stderr.text };
  }
}

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

export function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

export function done<Details>(details: Details, warnings = 0): Outcome<Details> {
  return { status: warnings === 0 ? 0 : 1, warnings, details };
}

export const totals: SourceTotals = {
  entries: 7,
  files: 4,
  directories: 2,
  symlinks: 1,
  hardlinks: 0,
  devices: 0,
  fifos: 0,
  sockets: 0,
  absent: 0,
  changed: 0,
  damaged: 0,
  attributesLost: 0,
  subvolumes: 0,
  bytes: 4_194_304,
  dataBytes: 4_194_304,
};

export const head: Head = {
  format: 1,
  oldestReader: 1,
  archiveId: "00112233445566778899aabbccddeeff",
  creator: "tsfsa 0.1.0",
  created: "2026-11-21T13:37:13Z",
  label: "nightly",
  codec: "zstd",
  level: 3,
  blockSize: 4_194_304,
  digest: "xxh128",
  preamble: { length: 300, digest: "00".repeat(16) },
  sources: [
    {
      kind: "filesystem",
      prefix: "0/",
      origin: "/dev/sda2",
      filesystem: {
        type: "ext4",
        label: "root",
        uuid: "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
        sizeBytes: 21_474_836_480,
        usedBytes: 1_288_490_188,
        blockSize: 4096,
        parameters: {},
      },
    },
    { kind: "directory", prefix: "1/", origin: "/srv/a\u001b[31m" },
  ],
};

export const summary: Summary = {
  entries: 14,
  members: 13,
  blocks: 3,
  segments: 1,
  tables: 1,
  tarBytes: 9_000_000,
  headLength: 1000,
  headOffset2: 2000,
  sources: [totals, { ...totals, hardlinks: 2, absent: 1, changed: 1, dataBytes: 4096 }],
};

export const saved = { archive: "a.tsfsa", head, summary, archiveBytes: 2_097_152, verified: false };
