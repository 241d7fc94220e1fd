import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { addon } from "../../src/sys/addon.ts";
import * as k from "../../src/sys/constants.ts";
import { EBADF, ENODATA, ENOTTY, EPERM, check } from "../../src/sys/errors.ts";
import { recipes, withLab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { bytes, checkBytes, empty, inScratch, text, tool, within } from "./scratch.ts";

requireOrSkip("root");

/** Values of one object by name, as the addon gives them. */
function attributes(dirFd: number, name: string): Record<string, string> {
  const list = text(checkBytes(addon().listAttributes(dirFd, bytes(name)), "listxattr"));
  const found: Record<string, string> = {};
  for (const attribute of list.split("\0").filter((part) => part !== "")) {
    found[attribute] = text(checkBytes(addon().getAttribute(dirFd, bytes(name), bytes(attribute)), "getxattr"));
  }
  return found;
}

describe("extended attributes", () => {
  it("are set, read, listed and removed on a descriptor, with empty and binary values", () =>
    inScratch(({ of, open }) => {
      writeFileSync(of("file"), "");
      const fd = open("file");
      expect(addon().setAttribute(fd, empty, bytes("user.empty"), empty)).toBe(0);
      expect(addon().setAttribute(fd, empty, bytes("user.a=b %\n"), bytes("\0\xff\n"))).toBe(0);
      expect(attributes(fd, "")).toEqual({ "user.empty": "", "user.a=b %\n": "\0\xff\n" });
      expect(tool("getfattr", "--absolute-names", "-e", "hex", "-n", "user.a=b %\n", of("file"))).toContain(
        "=0x00ff0a",
      );
      expect(addon().removeAttribute(fd, empty, bytes("user.empty"))).toBe(0);
      expect(addon().removeAttribute(fd, empty, bytes("user.empty"))).toBe(-ENODATA);
      expect(addon().getAttribute(fd, empty, bytes("user.empty"))).toBe(-ENODATA);
    }));

  it("are those of the symlink, fifo or device that a name means, never of a target", () =>
    inScratch(({ fd, of }) => {
      writeFileSync(of("file"), "");
      symlinkSync("file", of("link"));
      tool("mkfifo", of("fifo"));
      tool("mknod", of("device"), "b", "7", "99");
      for (const name of ["link", "fifo", "device"]) {
        expect(addon().setAttribute(fd, bytes(name), bytes("trusted.kept"), bytes(name))).toBe(0);
        expect(attributes(fd, name)).toEqual({ "trusted.kept": name });
        expect(tool("getfattr", "-h", "--absolute-names", "--only-values", "-n", "trusted.kept", of(name))).toBe(name);
      }
      expect(attributes(fd, "file")).toEqual({});
      expect(addon().setAttribute(fd, bytes("link"), bytes("user.x"), empty)).toBe(-EPERM);
      expect(addon().removeAttribute(fd, bytes("link"), bytes("trusted.kept"))).toBe(0);
      expect(attributes(fd, "link")).toEqual({});
    }));

  it("are reached through an O_PATH descriptor too, also of a symlink", () =>
    inScratch(({ fd, of }) => {
      symlinkSync("nowhere", of("link"));
      const link = check(addon().openAt(fd, bytes("link"), k.O_PATH | k.O_NOFOLLOW, 0, 0), "openat");
      expect(addon().setAttribute(link, empty, bytes("trusted.of"), bytes("link"))).toBe(0);
      expect(attributes(link, "")).toEqual({ "trusted.of": "link" });
      expect(attributes(fd, "link")).toEqual({ "trusted.of": "link" });
      expect(addon().removeAttribute(link, empty, bytes("trusted.of"))).toBe(0);
      addon().close(link);
      expect(addon().listAttributes(link, empty)).toBe(-EBADF);
    }));

  it("hold values of 64 KiB and 255-byte names where the file system does", () =>
    withLab(async (lab) => {
      const mounted = await lab.mount(await lab.filesystem(recipes.ext4));
      mkdirSync(`${mounted}/dir`);
      await within(`${mounted}/dir`, ({ of, open }) => {
        writeFileSync(of("file"), "");
        const fd = open("file");
        const name = `user.${"n".repeat(250)}`;
        const value = "v".repeat(65_536);
        expect(addon().setAttribute(fd, empty, bytes(name), bytes(value))).toBe(0);
        expect(attributes(fd, "")).toEqual({ [name]: value });
      });
    }));
});

describe("inode flags and project ids", () => {
  it("are those of chattr(1) and lsattr(1)", () =>
    withLab(async (lab) => {
      const mounted = await lab.mount(await lab.filesystem(recipes.ext4));
      mkdirSync(`${mounted}/dir`);
      await within(`${mounted}/dir`, ({ of, open }) => {
        writeFileSync(of("file"), "");
        const fd = open("file");
        const plain = check(addon().getInodeFlags(fd), "GETFLAGS");
        expect(plain & k.FS_EXTENT_FL).not.toBe(0);
        tool("chattr", "+dAsS", of("file"));
        const set = k.FS_NODUMP_FL | k.FS_NOATIME_FL | k.FS_SECRM_FL | k.FS_SYNC_FL;
        expect(addon().getInodeFlags(fd)).toBe(plain | set);
        expect(addon().setInodeFlags(fd, plain | k.FS_APPEND_FL)).toBe(0);
        expect(tool("lsattr", of("file")).split(" ")[0]?.replaceAll("-", "")).toBe("ae");
        expect(addon().setInodeFlags(fd, plain)).toBe(0);
        tool("mkfifo", of("fifo"));
        expect(addon().getInodeFlags(open("fifo", k.O_RDWR))).toBe(-ENOTTY);
      });
    }));

  it("keep project ids up to 2^32 − 2 on xfs as xfs_io shows them", () =>
    withLab(async (lab) => {
      const mounted = await lab.mount(await lab.filesystem(recipes.xfs));
      mkdirSync(`${mounted}/dir`);
      await within(`${mounted}/dir`, ({ of, open }) => {
        writeFileSync(of("file"), "");
        const fd = open("file");
        const out = new Uint32Array(4);
        expect(addon().setProjectId(fd, 4_294_967_294)).toBe(0);
        expect(addon().getExtendedFlags(fd, out)).toBe(0);
        expect(out[2]).toBe(4_294_967_294);
        expect(tool("xfs_io", "-r", "-c", "lsproj", of("file"))).toBe("projid = 4294967294");
        tool("xfs_io", "-r", "-c", "extsize 1m", of("file"));
        expect(addon().setProjectId(fd, 7)).toBe(0);
        addon().getExtendedFlags(fd, out);
        // FS_XFLAG_EXTSIZE is kept.
        expect([(out[0] as number) & 0x800, ...out.subarray(1)]).toEqual([0x800, 1_048_576, 7, 0]);
      });
    }));
});
