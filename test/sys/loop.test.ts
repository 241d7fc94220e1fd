import { readFileSync, statSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { addon } from "../../src/sys/addon.ts";
import * as k from "../../src/sys/constants.ts";
import { EBADF, ENOTTY, ENXIO, EPERM, check } from "../../src/sys/errors.ts";
import type { LoopDevice, LoopOptions } from "../../src/sys/loop.ts";
import { attachLoop } from "../../src/sys/loop.ts";
import type { Lab } from "../support/images.ts";
import { withLab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { bytes, inScratch, text, tool } from "./scratch.ts";

requireOrSkip("root", "loop");

const size = 1 << 20;

function withLoop(options: LoopOptions, body: (loop: LoopDevice, image: string, lab: Lab) => void): Promise<void> {
  return withLab((lab) => {
    const image = lab.image("disk", size);
    writeFileSync(image, Buffer.alloc(size, 0x61));
    const access = options.readOnly ? k.O_RDONLY : k.O_RDWR;
    const backing = check(addon().openAt(k.AT_FDCWD, bytes(image), access, 0, 0), "openat");
    const loop = attachLoop(backing, options);
    addon().close(backing);
    try {
      body(loop, image, lab);
    } finally {
      loop.close();
      loop.close();
    }
    expect(lab.leftovers()).toEqual([]);
    return Promise.resolve();
  });
}

describe("attachLoop", () => {
  it("shows a file as a read-only device that goes with its descriptor", () =>
    withLoop({ readOnly: true, name: bytes("seen name") }, (loop, image) => {
      expect(addon().deviceSize(loop.fd)).toBe(size);
      expect(addon().deviceSectorSize(loop.fd)).toBe(512);
      expect(addon().deviceReadOnly(loop.fd)).toBe(1);
      expect(tool("blockdev", "--getro", loop.path)).toBe("1");
      const buffer = new Uint8Array(4);
      expect(addon().read(loop.fd, buffer, 0, 4, size - 4)).toBe(4);
      expect(text(buffer)).toBe("aaaa");
      expect(addon().write(loop.fd, buffer, 0, 4, 0)).toBe(-EBADF);
      const status = new Float64Array(6);
      expect(addon().loopStatus(loop.fd, status)).toBe(0);
      const stat = statSync(image);
      const [major = 0, minor = 0, inode, offset, limit, flags] = status;
      expect([major * 256 + minor, inode, offset, limit]).toEqual([stat.dev, stat.ino, 0, 0]);
      expect(flags).toBe(k.LO_FLAGS_READ_ONLY | k.LO_FLAGS_AUTOCLEAR);
      expect(readFileSync(`/sys/block/loop${loop.index}/loop/backing_file`, "utf8").trim()).toBe(image);
    }));

  it("writes through, shows a part of the file, with the sector size asked for", () =>
    withLoop({ readOnly: false, offsetBytes: 8192, sizeLimitBytes: 65_536, sectorSize: 4096 }, (loop, image) => {
      expect(addon().deviceSize(loop.fd)).toBe(65_536);
      expect(addon().deviceSectorSize(loop.fd)).toBe(4096);
      expect(addon().deviceReadOnly(loop.fd)).toBe(0);
      expect(addon().write(loop.fd, bytes("!"), 0, 1, 0)).toBe(1);
      expect(addon().fsync(loop.fd)).toBe(0);
      expect(addon().deviceFlush(loop.fd)).toBe(0);
      expect(readFileSync(image).subarray(8191, 8194).toString()).toBe("a!a");
      expect(addon().deviceDiscard(loop.fd, 4096, 4096)).toBe(0);
      expect(readFileSync(image).subarray(8192 + 4096, 8192 + 8192)).toEqual(Buffer.alloc(4096));
    }));

  it("can be detached while it is open", () =>
    withLoop({ readOnly: false }, (loop) => {
      expect(addon().detachLoop(loop.fd)).toBe(0);
    }));

  it("gives every caller another device", () =>
    withLoop({ readOnly: true }, (first, image) => {
      const backing = check(addon().openAt(k.AT_FDCWD, bytes(image), k.O_RDONLY, 0, 0), "openat");
      const others = Array.from({ length: 6 }, () => attachLoop(backing, { readOnly: true }));
      addon().close(backing);
      const indices = [first, ...others].map((loop) => loop.index);
      for (const other of others) other.close();
      expect(new Set(indices).size).toBe(7);
    }));

  it("throws for what cannot back a device, and leaves nothing behind", () =>
    inScratch(({ fd }) => {
      expect(() => attachLoop(fd, { readOnly: true })).toThrow(/attaching a loop device failed/);
      expect(() => attachLoop(-1, { readOnly: true })).toThrow(expect.objectContaining({ code: "IO" }));
    }));

  it("makes a node that a static /dev does not have", () =>
    inScratch(({ of }) => {
      writeFileSync(of("image"), Buffer.alloc(size));
      // In a mount namespace of its own, whose /dev holds nothing but the control device.
      const script = `
        const addon = require(${JSON.stringify(new URL("../../native/build/Release/tsfsa.node", import.meta.url).pathname)});
        const backing = addon.openAt(-100, Buffer.from(${JSON.stringify(of("image"))}), 0, 0, 0);
        const out = new Uint32Array(1);
        const fd = addon.attachLoop(backing, ${k.LO_FLAGS_READ_ONLY | k.LO_FLAGS_AUTOCLEAR}, 0, 0, 0, Buffer.alloc(0), out);
        console.log(fd >= 0 && require("node:fs").statSync("/dev/loop" + out[0]).isBlockDevice(), addon.deviceSize(fd));`;
      const prepare =
        'mount -t tmpfs none /dev && mknod /dev/loop-control c 10 237 && mknod /dev/null c 1 3 && exec "$@"';
      const argv = ["unshare", "--mount", "sh", "-c", prepare, "sh", process.execPath, "-e", script];
      expect(tool(...argv)).toBe(`true ${size}`);
    }));
});

describe("device calls", () => {
  it("are refused by what is no block device or no loop device", () =>
    inScratch(({ fd }) => {
      expect(addon().deviceSize(fd)).toBe(-ENOTTY);
      expect(addon().deviceSectorSize(fd)).toBe(-ENOTTY);
      expect(addon().deviceReadOnly(fd)).toBe(-ENOTTY);
      expect(addon().deviceFlush(fd)).toBe(-ENOTTY);
      expect(addon().detachLoop(fd)).toBe(-ENOTTY);
      expect([-ENOTTY, -ENXIO, -EPERM]).toContain(addon().loopStatus(fd, new Float64Array(6)));
      expect(() => addon().loopStatus(fd, new Float64Array(5))).toThrow(RangeError);
    }));
});
