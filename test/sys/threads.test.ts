import { mkdirSync, writeFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { addon } from "../../src/sys/addon.ts";
import { checkBytes, inScratch, unpack } from "./scratch.ts";

const path = new URL("../../native/build/Release/tsfsa.node", import.meta.url).pathname;

/** Runs the code in a new thread, with `addon` and `data` in scope; it ends with `post(result)`. */
function inThread(code: string, data: unknown): Promise<unknown> {
  const prelude = `
    const { parentPort, workerData: data } = require("node:worker_threads");
    const addon = require(${JSON.stringify(path)});
    const post = (result) => parentPort.postMessage(result);`;
  return new Promise((resolve, reject) => {
    const worker = new Worker(`${prelude}\n${code}`, { eval: true, workerData: data });
    worker.once("message", resolve);
    worker.once("error", reject);
    worker.once("exit", (status) => status !== 0 && reject(new Error(`the thread ended with ${status}`)));
  });
}

describe("the addon in worker threads", () => {
  it("loads in many at once, and each reads through descriptors of the main thread", () =>
    inScratch(async ({ fd, of }) => {
      for (let index = 0; index < 50; index++) writeFileSync(of(`file${index}`), `content ${index}`);
      mkdirSync(of("dir"));
      const names = checkBytes(addon().readDirectory(fd), "readDirectory");
      const code = `
        const out = new Uint8Array(51 * 128);
        for (let round = 0; round < 20; round++) addon.statNames(data.fd, data.names, 0, 51, out);
        const view = new DataView(out.buffer);
        let sum = 0;
        for (let at = 0; at < out.length; at += 128) if ((view.getUint32(at + 4, true) & 0o170000) === 0o100000) sum += Number(view.getBigInt64(at + 48, true));
        post(sum);`;
      const sums = await Promise.all(Array.from({ length: 6 }, () => inThread(code, { fd, names })));
      const expected = unpack(names).length - 1;
      expect(expected).toBe(50);
      expect(sums).toEqual(Array.from({ length: 6 }, () => 10 * 9 + 40 * 10));
    }));

  it("returns bytes that can be transferred to the main thread", () =>
    inScratch(async ({ fd, of }) => {
      writeFileSync(of("file"), "x");
      const code = `
        const names = addon.readDirectory(data);
        parentPort.postMessage(names, [names.buffer]);`;
      expect(unpack((await inThread(code, fd)) as Uint8Array)).toEqual([[8, "file"]]);
    }));

  it("keeps the mount message of each thread apart", async () => {
    expect(
      await inThread(`addon.mountDetached("tmpfs", "none", ["nonsense=1"], 0); post(addon.lastMountMessage());`, 0),
    ).toMatch(process.geteuid?.() === 0 ? /nonsense/ : /^$/);
    expect(addon().lastMountMessage()).not.toMatch(/nonsense/);
  });
});
