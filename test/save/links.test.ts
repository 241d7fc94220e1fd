import { describe, expect, it } from "vitest";
import { LinkTable } from "../../src/save/links.ts";

const path = Buffer.from("./a");

describe("LinkTable", () => {
  it("knows an inode from its first name to its last", () => {
    const links = new LinkTable();
    expect(links.find(1, 7n)).toBeUndefined();
    links.add(1, 7n, 3, { entry: 5, path });
    expect(links.find(1, 7n)).toMatchObject({ entry: 5, path });
    expect(links.find(1, 7n)).toMatchObject({ entry: 5, path });
    expect(links.find(1, 7n), "the number came free and was given away again").toBeUndefined();
  });

  it("says clearly when it can keep no more inodes in mind, of one device", () => {
    const links = new LinkTable(2);
    for (const inode of [1n, 2n]) links.add(1, inode, 2, { entry: 1, path });
    links.add(2, 3n, 2, { entry: 1, path });
    expect(() => links.add(1, 3n, 2, { entry: 1, path })).toThrow(expect.objectContaining({ code: "UNSUPPORTED" }));
    links.find(1, 1n);
    links.add(1, 3n, 2, { entry: 1, path });
  });

  it("takes the same inode number of another device for another inode, also over 2^53", () => {
    const links = new LinkTable();
    const inode = 2n ** 60n + 1n;
    links.add(1, inode, 2, { entry: 5, path });
    expect(links.find(2, inode)).toBeUndefined();
    expect(links.find(1, inode + 1n)).toBeUndefined();
    expect(links.find(1, inode)).toMatchObject({ entry: 5 });
  });
});
