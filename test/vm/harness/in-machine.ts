// Scenarios for a real kernel with device-mapper. A test file calls inMachine() once; the same file then is a test on the host, which boots a machine,
// and a program in the machine, which runs the scenarios one after the other. Each scenario is a test; what it measured is printed at the end.

import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { uptime } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import { compiled } from "../../support/programs.ts";
import { missing } from "./artefacts.ts";
import { Guest } from "./guest.ts";
import { runInMachine } from "./machine.ts";

export type Scenario = (guest: Guest) => Promise<void>;

export interface Scenarios {
  /** Sizes in bytes of the machine's blank disks. */
  readonly disks: readonly number[];
  /** For all scenarios of the file, boot included; default 40 minutes: a busy host is twenty times slower than a quiet one. */
  readonly timeoutMs?: number;
  readonly scenarios: Readonly<Record<string, Scenario>>;
}

/** One line of the machine's results. */
interface Result {
  readonly title: string;
  readonly elapsedMs: number;
  readonly error?: string;
  readonly figures: Readonly<Record<string, number | string>>;
}

const results = "results";
const scenarioLimitMs = 900_000;
const isInside = existsSync("/run/machine/command");
const vitest = isInside ? undefined : await import("vitest");

/** `url`: import.meta.url of the test file. */
export async function inMachine(url: string, { disks, timeoutMs = 2_400_000, scenarios }: Scenarios): Promise<void> {
  if (vitest === undefined) return runScenarios(scenarios);
  const { afterAll, beforeAll, beforeEach, expect, it } = vitest;
  const lacking = missing();
  if (lacking.length > 0) {
    const reason = `no machine can be booted here. It needs: ${lacking.join("; ")}`;
    const required = (process.env["TSFSA_TEST_REQUIRE"] ?? "").split(",").includes("vm");
    beforeEach((context) => (required ? expect.fail(reason) : context.skip(reason)));
  }
  const found = new Map<string, Result>();
  let ending = "";
  if (lacking.length === 0) {
    beforeAll(async () => {
      const collect = (shared: string): void => {
        for (const result of readResults(join(shared, results))) found.set(result.title, result);
      };
      const only = process.env["TSFSA_VM_ONLY"] ?? "";
      const dist = process.env["TSFSA_DIST"] ?? `${process.cwd()}/dist`;
      const kills = process.env["TSFSA_TEST_KILLS"] ?? "";
      const environment = [`TSFSA_VM_ONLY=${only}`, `TSFSA_DIST=${dist}`, `TSFSA_TEST_KILLS=${kills}`];
      const program = ["env", ...environment, process.execPath, compiled(fileURLToPath(url))];
      const end = await runInMachine(program, { disks, timeoutMs, collect });
      ending = `machine: status ${end.status ?? "none"}\n${end.output.slice(-4000)}\n${end.console.slice(-4000)}`;
    }, timeoutMs + 30_000);
  }
  for (const title of Object.keys(scenarios)) {
    it(title, () => {
      const result = found.get(title);
      if (result === undefined) throw new Error(`the machine ended before this. ${ending}`);
      if (result.error !== undefined) throw new Error(`${result.error}\n${ending}`);
    });
  }
  afterAll(() => {
    for (const { title, elapsedMs, figures } of found.values()) {
      console.log(`${title}: ${JSON.stringify({ ...figures, seconds: Math.round(elapsedMs / 100) / 10 })}`);
    }
  });
}

function readResults(path: string): Result[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, "utf8").split("\n").slice(0, -1);
  return lines.map((line) => JSON.parse(line) as Result);
}

/** In the machine: the scenarios in order, each with the machine as it was at first. */
async function runScenarios(scenarios: Readonly<Record<string, Scenario>>): Promise<void> {
  const only = process.env["TSFSA_VM_ONLY"] ?? "";
  console.log(`up for ${Math.round(uptime())} s`);
  for (const [title, scenario] of Object.entries(scenarios)) {
    if (!title.includes(only)) continue;
    const guest = await Guest.create();
    const began = Date.now();
    const limit = sleep(scenarioLimitMs, "it took too long", { ref: false });
    const failure = await Promise.race([failureOf(scenario, guest), limit]);
    const left = await guest.close();
    const error = failure ?? left;
    const told = error === undefined ? {} : { error };
    const result: Result = { title, elapsedMs: Date.now() - began, figures: guest.figures, ...told };
    appendFileSync(`/run/machine/${results}`, `${JSON.stringify(result)}\n`);
    console.log(`--- ${title}: ${error ?? "passed"}`);
  }
  process.exit(0);
}

async function failureOf(scenario: Scenario, guest: Guest): Promise<string | undefined> {
  try {
    await scenario(guest);
    return undefined;
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
}
