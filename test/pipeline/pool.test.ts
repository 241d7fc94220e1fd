// Threads run compiled code: a worker of the tests is written as JavaScript that serves jobs with dist/pipeline/serve.cjs.

import { existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WorkerPool } from "../../src/pipeline/pool.ts";

interface Jobs {
  echo: { input: unknown; output: unknown };
  wait: { input: number; output: number };
  spin: { input: number; output: number };
  fail: { input: string; output: never };
  /** Opens a path and spins for some milliseconds with it, then for some without. */
  hold: { input: { path: string; heldMs: number; freeMs: number }; output: number };
  /** Makes a file. */
  mark: { input: string; output: number };
  exit: { input: number; output: never };
  throwLater: { input: null; output: never };
  /** Spins for some milliseconds and gives the id of its thread. */
  thread: { input: number; output: number };
}

const dist = process.env["TSFSA_DIST"] ?? fileURLToPath(new URL("../../dist", import.meta.url));
const script = `
import { threadId, workerData } from "node:worker_threads";
import { closeSync, openSync, writeFileSync } from "node:fs";
import { lettingGo } from ${JSON.stringify(pathToFileURL(`${dist}/pipeline/holding.cjs`).href)};
import { serveJobs } from ${JSON.stringify(pathToFileURL(`${dist}/pipeline/serve.cjs`).href)};
import { TsfsaError } from ${JSON.stringify(pathToFileURL(`${dist}/base/errors.cjs`).href)};
const spin = (ms) => { const end = performance.now() + ms; while (performance.now() < end); };
serveJobs({
  echo: (input) => ({ output: { input, workerData }, transfer: input?.buffer instanceof ArrayBuffer ? [input.buffer] : [] }),
  wait: async (ms) => { await new Promise((resolve) => setTimeout(resolve, ms)); return { output: ms }; },
  spin: (ms) => { spin(ms); return { output: ms }; },
  fail: (message) => { throw new TsfsaError("NO_SPACE", message, { errno: "ENOSPC" }); },
  exit: (code) => process.exit(code),
  throwLater: () => { setTimeout(() => { throw new Error("outside of a job"); }, 5); return new Promise(() => {}); },
  hold: ({ path, heldMs, freeMs }) => {
    const fd = openSync(path, "r");
    spin(heldMs);
    closeSync(fd);
    lettingGo(() => spin(freeMs));
    return { output: 0 };
  },
  mark: (path) => { writeFileSync(path, ""); return { output: 0 }; },
  thread: (ms) => { spin(ms); return { output: threadId }; },
});`;

let folder = "";
const pools: WorkerPool<Jobs>[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "tsfsa-pool-"));
  writeFileSync(join(folder, "worker.mjs"), script);
});

afterAll(async () => {
  for (const pool of pools) await pool.close();
  rmSync(folder, { recursive: true });
});

function start(workers: number, signal?: AbortSignal): WorkerPool<Jobs> {
  const path = join(folder, "worker.mjs");
  const pool = new WorkerPool<Jobs>({
    path,
    workers,
    workerData: "shared",
    ...(signal === undefined ? {} : { signal }),
  });
  pools.push(pool);
  return pool;
}

function targetOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return ""; // the one that read the list
  }
}

describe("WorkerPool", () => {
  it("runs jobs in threads that know their data, and moves what is to be moved", async () => {
    const pool = start(2);
    const bytes = new Uint8Array([1, 2, 3]);
    const result = await pool.run("echo", bytes, { transfer: [bytes.buffer] });
    expect(result).toEqual({ input: new Uint8Array([1, 2, 3]), workerData: "shared" });
    expect(bytes.length, "moved, not copied").toBe(0);
  });

  it("uses as many threads as it may when there is work for them, and only one when there is not", async () => {
    const busy = start(3);
    const ids = await Promise.all([1, 2, 3, 4, 5, 6].map(() => busy.run("thread", 20)));
    expect(new Set(ids).size).toBe(3);
    const idle = start(3);
    const one = [await idle.run("thread", 0), await idle.run("thread", 0), await idle.run("thread", 0)];
    expect(new Set(one).size).toBe(1);
  });

  it("starts urgent jobs before the others that wait", async () => {
    const pool = start(1);
    const ended: string[] = [];
    const jobs = [pool.run("wait", 20), pool.run("wait", 1)];
    for (const name of ["late 1", "late 2"]) jobs.push(pool.run("wait", 0).then(() => ended.push(name)));
    jobs.push(pool.run("wait", 0, { urgent: true }).then(() => ended.push("urgent")));
    await Promise.all(jobs);
    expect(ended[0]).toBe("urgent");
  });

  it("rejects a job with its own error, and goes on", async () => {
    const pool = start(1);
    await expect(pool.run("fail", "no room")).rejects.toMatchObject({
      code: "NO_SPACE",
      message: "no room",
      context: { errno: "ENOSPC" },
    });
    expect(await pool.run("wait", 0)).toBe(0);
  });

  it("rejects a job that cannot be sent, and goes on", async () => {
    const pool = start(1);
    await expect(pool.run("echo", () => {})).rejects.toThrow(/could not be cloned/);
    expect(await pool.run("wait", 0)).toBe(0);
  });

  it.each([
    ["exits", "exit" as const, 3, /exited with code 3/],
    ["throws outside of a job", "throwLater" as const, null, /outside of a job/],
  ])("fails all jobs with the cause when a thread %s", async (_, kind, input, cause) => {
    const pool = start(2);
    const jobs: Promise<unknown>[] = [1, 2, 3].map(() => pool.run("wait", 10_000));
    jobs.push(pool.run(kind, input));
    for (const settled of await Promise.allSettled(jobs)) {
      expect(settled).toMatchObject({ status: "rejected", reason: { code: "INTERNAL" } });
    }
    await expect(pool.run("wait", 0)).rejects.toMatchObject({
      code: "INTERNAL",
      message: expect.stringMatching(cause),
    });
  });

  it("rejects what runs and what waits when it is closed, and what comes later", async () => {
    const pool = start(1);
    const jobs = Array.from({ length: 5 }, () => pool.run("wait", 10_000));
    const settled = Promise.allSettled(jobs);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await pool.close();
    await pool.close();
    expect((await settled).every(({ status }) => status === "rejected")).toBe(true);
    await expect(pool.run("wait", 0)).rejects.toMatchObject({ code: "INTERNAL" });
  });

  it("waits at its end until a busy thread has let go of what it holds, but not for a call that holds nothing", async () => {
    const pool = start(2);
    const isHeld = (): boolean => readdirSync("/proc/self/fd").some((name) => targetOf(name) === folder);
    pool.run("hold", { path: folder, heldMs: 700, freeMs: 0 }).catch(() => undefined);
    const other = start(1);
    other.run("hold", { path: "/", heldMs: 0, freeMs: 5000 }).catch(() => undefined);
    await expect.poll(isHeld, { interval: 10, timeout: 10_000 }).toBe(true);
    await pool.close();
    expect(isHeld()).toBe(false);
    const begin = performance.now();
    await other.close();
    expect(performance.now() - begin, "the free one is not waited for").toBeLessThan(3000);
  });

  it("hands what comes when nobody waits for it to who gives it back, before it ends", async () => {
    const stop = new AbortController();
    for (const pool of [start(1, stop.signal), start(1)]) {
      await pool.run("wait", 0);
      const discarded: number[] = [];
      pool.run("spin", 400, { discard: (output) => discarded.push(output) }).catch(() => undefined);
      pool.run("spin", 1, { discard: () => discarded.push(-1) }).catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, 50));
      stop.abort(new Error("stop"));
      await pool.close();
      expect(discarded).toEqual([400]);
    }
  });

  it("begins no job once it is closed, also not one that a thread has been given", async () => {
    const pool = start(1);
    await pool.run("wait", 0);
    const marker = join(folder, "begun");
    pool.run("hold", { path: folder, heldMs: 2000, freeMs: 0 }).catch(() => undefined);
    pool.run("mark", marker).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await pool.close();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(existsSync(marker)).toBe(false);
  });

  it("rejects everything with the reason of its signal at once, also while a thread is busy", async () => {
    const stop = new AbortController();
    const pool = start(1, stop.signal);
    await pool.run("wait", 0);
    const busy = pool.run("spin", 5000);
    const waiting = pool.run("wait", 0);
    const reason = new Error("stop");
    const begin = performance.now();
    setTimeout(() => stop.abort(reason), 20);
    await expect(busy).rejects.toBe(reason);
    await expect(waiting).rejects.toBe(reason);
    expect(performance.now() - begin).toBeLessThan(4000);
    await expect(pool.run("wait", 0)).rejects.toBe(reason);
  });
});
