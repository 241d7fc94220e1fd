import { describe, expect, it } from "vitest";
import type { Invocation, Request } from "../../src/cli/invocation.ts";
import { type Help, parseCommandLine } from "../../src/cli/program.ts";

const parse = (...argv: string[]): Promise<Invocation | Help> =>
  parseCommandLine(argv, { processors: 3, columns: () => 100 });

async function invocation(...argv: string[]): Promise<Invocation> {
  const parsed = await parse(...argv);
  if ("help" in parsed) throw new Error(`expected a command, found help:\n${parsed.help}`);
  return parsed;
}

type OptionsOf<Name extends Request["command"]> = (Request & { readonly command: Name })["options"];

async function request<Name extends Request["command"]>(command: Name, ...argv: string[]): Promise<OptionsOf<Name>> {
  const found = (await invocation(command, ...argv)).request;
  expect(found.command).toBe(command);
  return found.options as OptionsOf<Name>;
}

async function refusal(...argv: string[]): Promise<{ message: string; hints: readonly string[] }> {
  const error: unknown = await parse(...argv).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ code: "USAGE" });
  const { message, context } = error as { message: string; context: { hints?: readonly string[] } };
  return { message, hints: context.hints ?? [] };
}

describe("the command line of a save", () => {
  it("needs an archive and a source, and has a default for all else", async () => {
    expect(await request("savefs", "a.tsfsa", "/dev/x")).toEqual({
      archive: "a.tsfsa",
      sources: ["/dev/x"],
      compression: { codec: "zstd", level: 3, blockSize: 4 * 1024 * 1024 },
      digest: "xxh128",
      workers: 3,
      excludes: [],
      excludeCaches: false,
      label: "",
      overwrite: false,
      allowRw: false,
      strict: false,
      crossMounts: false,
      reader: "mount",
      verify: false,
      dryRun: false,
    });
  });

  it("takes every option in its short and its long form", async () => {
    const short = await request("savedir", ..."A s -j 2 -e *.o -e /tmp -L night -o -A -z 9".split(" "));
    expect(short).toMatchObject({
      workers: 2,
      excludes: ["*.o", "/tmp"],
      label: "night",
      overwrite: true,
      allowRw: true,
    });
    expect(short.compression).toMatchObject({ codec: "zstd", level: 22 });
    const long =
      "A s --jobs=2 --exclude=*.o --exclude /tmp --label night --overwrite --allow-rw --compress=9 --strict --verify --dry-run --exclude-caches --cross-mounts --files-from list --digest sha256 --block-size 8MiB";
    expect(await request("savedir", ...long.split(" "))).toEqual({
      ...short,
      compression: { codec: "zstd", level: 22, blockSize: 8 * 1024 * 1024 },
      strict: true,
      verify: true,
      dryRun: true,
      excludeCaches: true,
      crossMounts: true,
      filesFrom: "list",
      digest: "sha256",
    });
  });

  it("takes options before, between and behind operands, and none behind --", async () => {
    expect(await request("savefs", "-o", "A", "-j", "1", "s", "-A", "--", "-t")).toMatchObject({
      archive: "A",
      sources: ["s", "-t"],
      overwrite: true,
      allowRw: true,
      workers: 1,
    });
    expect((await invocation("-oj2", "--label", "list", "savefs", "A", "s")).request).toMatchObject({
      command: "savefs",
      options: { overwrite: true, workers: 2, label: "list" },
    });
  });

  it.each<[string, string, number]>([
    ["-z0", "zstd", 0],
    ["-z1", "lz4", 1],
    ["-z2", "zstd", 1],
    ["-z7", "zstd", 15],
    ["-Z11", "zstd", 11],
  ])("%s means %s at level %i", async (option, codec, level) => {
    expect((await request("savefs", option, "A", "s")).compression).toMatchObject({ codec, level });
  });

  it("takes a negative zstd level, and knows -1 for no level of -z", async () => {
    expect((await request("savefs", "-Z", "-5", "A", "s")).compression).toMatchObject({ codec: "zstd", level: -5 });
    expect((await refusal("savefs", "-z", "-1", "A", "s")).message).toBe(
      '-z: expected a number from 0 to 9, found "-1"',
    );
  });

  it.each<[argv: string[], message: string]>([
    [["savefs"], "missing required argument 'archive'"],
    [["savefs", "A"], "missing required argument 'source'"],
    [["savedir", "A"], "missing required argument 'directory'"],
    [["savefs", "--foo", "A", "s"], "unknown option '--foo'"],
    [["savefs", "--cross-mounts", "A", "s"], "unknown option '--cross-mounts'"],
    [["savefs", "A", "s", "-j"], "option '-j, --jobs <n>' argument missing"],
    [["savefs", "-j", "0", "A", "s"], '-j: expected a number from 1 to 256, found "0"'],
    [["savefs", "-j", "2x", "A", "s"], '-j: expected a number from 1 to 256, found "2x"'],
    [["savefs", "-z", "10", "A", "s"], '-z: expected a number from 0 to 9, found "10"'],
    [["savefs", "-z", "", "A", "s"], '-z: expected a number from 0 to 9, found ""'],
    [["savefs", "-Z", "23", "A", "s"], '-Z: expected a number from -131072 to 22, found "23"'],
    [["savefs", "-Z", "0", "A", "s"], "-Z: expected a level from 1 to 22 or a negative one, found 0"],
    [["savefs", "-z3", "-Z3", "A", "s"], "cannot be used with option"],
    [["savefs", "-v", "-q", "A", "s"], "cannot be used with option"],
    [["savefs", "--digest", "md5", "A", "s"], '--digest: expected one of xxh128, sha256, blake3, found "md5"'],
    [["savefs", "--block-size", "3MB5", "A", "s"], "--block-size: expected a multiple of 1 MiB from 1 to 32 MiB"],
    [["savefs", "--block-size", "1000000", "A", "s"], "--block-size: expected a multiple of 1 MiB"],
    [["savefs", "--block-size", "64MiB", "A", "s"], "--block-size: expected a multiple of 1 MiB"],
    [["savefs", "-e", "[a", "A", "s"], 'the pattern "[a" has a `[` without its `]`'],
    [["savefs", "", "s"], "ARCHIVE is empty"],
    [["savefs", "A", ""], "a source is empty"],
    [["savefs", "--verify", "-", "s"], "--verify reads the archive back"],
  ])("%j is refused", async (argv, message) => {
    expect((await refusal(...argv)).message).toContain(message);
  });
});

describe("the command line of a restore", () => {
  it("of file systems has targets", async () => {
    expect(await request("restfs", "-", "id=0,dest=/dev/x", "id=1,dest=y,mkfs=xfs", "--yes", "-o")).toEqual({
      archive: "-",
      targets: [
        { id: 0, dest: "/dev/x" },
        { id: 1, dest: "y", mkfs: "xfs" },
      ],
      workers: 3,
      excludes: [],
      includes: [],
      stripComponents: 0,
      overwrite: true,
      strict: false,
      dryRun: false,
      yes: true,
    });
  });

  it("of directories has a destination and may strip components", async () => {
    const argv = ["A", "d", "--include", "/etc", "-e", "*.o", "--strip-components", "2", "--strict", "--dry-run"];
    expect(await request("restdir", ...argv)).toMatchObject({
      archive: "A",
      destination: "d",
      includes: ["/etc"],
      excludes: ["*.o"],
      stripComponents: 2,
      strict: true,
      dryRun: true,
    });
  });

  it.each<[argv: string[], message: string]>([
    [["restfs", "A"], "missing required argument 'target'"],
    [["restfs", "A", "id=0"], "has no dest=TARGET"],
    [["restdir", "A"], "missing required argument 'destination'"],
    [["restdir", "A", "b", "c"], "too many arguments"],
    [["restdir", "A", ""], "DESTINATION is empty"],
    [["restdir", "A", "b", "--include", "a//b"], "empty component"],
    [["restfs", "A", "id=0,dest=x", "--to", "d"], "unknown option '--to'"],
  ])("%j is refused", async (argv, message) => {
    expect((await refusal(...argv)).message).toContain(message);
  });
});

describe("the command line of what reads an archive", () => {
  it("names the archive", async () => {
    expect(await request("archinfo", "A")).toEqual({ archive: "A" });
    expect(await request("list", "A", "/etc", "*.c")).toEqual({
      archive: "A",
      patterns: ["/etc", "*.c"],
      asFiles: false,
    });
    for (const [command, ...words] of [["list"], ["du"], ["cat", "x"], ["extract", "x"]] as const) {
      expect(await request(command, "A", ...words, "--image")).toMatchObject({ asFiles: true });
    }
    expect(await request("list", "A", "--sort", "size", "--id=2")).toMatchObject({ sort: "size", source: 2 });
    expect((await invocation("list", "A", "--tree")).request).toMatchObject({ form: { long: false, tree: true } });
    expect((await invocation("list", "A", "-s")).request).toMatchObject({ form: { long: false, tree: false } });
    expect((await invocation("list", "A")).request).toMatchObject({ form: { long: true, tree: false } });
    expect(await request("du", "A", "-d1", "/etc")).toMatchObject({ depth: 1, patterns: ["/etc"] });
    expect(await request("du", "A")).toMatchObject({ depth: Number.POSITIVE_INFINITY });
    expect(await request("cat", "A", "etc/x")).toEqual({ archive: "A", path: "etc/x", asFiles: false });
    expect(await request("verify", "A", "--quick", "-j1")).toEqual({ archive: "A", workers: 1, quick: true });
  });

  it("asks for parts, and where they go", async () => {
    expect(await request("extract", "A", "/etc", "!*.o")).toEqual({
      archive: "A",
      patterns: ["/etc", "!*.o"],
      destination: ".",
      source: undefined,
      asFiles: false,
      workers: 3,
      overwrite: false,
      strict: false,
    });
    expect(await request("extract", "--to", "D", "-o", "A", "x")).toMatchObject({ destination: "D", overwrite: true });
  });

  it("compares with a target, of which it may say which source it is", async () => {
    const plain = { holes: false, atime: false, btime: false };
    expect(await request("diff", "A", "/mnt")).toEqual({
      archive: "A",
      target: "/mnt",
      source: undefined,
      workers: 3,
      excludes: [],
      includes: [],
      compare: plain,
    });
    expect(await request("diff", "A", "id=1=/dev/a=b", "--holes")).toMatchObject({
      target: "/dev/a=b",
      source: 1,
      compare: { ...plain, holes: true },
    });
    expect(await request("verify", "A", "--against", "id=0=/mnt")).toMatchObject({
      against: { archive: "A", target: "/mnt", source: 0, compare: plain },
    });
    expect((await refusal("verify", "-", "--against", "/mnt")).message).toContain("twice");
    expect((await refusal("diff", "A", "id=1=")).message).toContain("TARGET");
  });

  it("says how to talk", async () => {
    expect((await invocation("list", "--json", "-v", "A")).output).toEqual({ json: true, verbose: true, quiet: false });
    expect((await invocation("list", "A", "-q")).output).toEqual({ json: false, verbose: false, quiet: true });
  });

  it("is refused when a pattern is bad or an operand too many", async () => {
    expect((await refusal("list", "A", "a\\")).message).toContain("lone backslash");
    expect((await refusal("archinfo", "A", "B")).message).toContain("too many arguments");
  });
});

describe("the command line of a snapshot", () => {
  it("has a default for all, and none is taken unasked", async () => {
    expect((await request("savefs", "a.tsfsa", "/home")).snapshot).toBeUndefined();
    const { archive, sources, snapshot } = await request("savefs", "--snapshot", "a.tsfsa", "/home");
    expect([archive, sources]).toEqual(["a.tsfsa", ["/home"]]);
    expect(snapshot).toEqual({
      method: "auto",
      maxFreezeMs: 60_000,
      keep: "never",
      hooks: { services: [], timeoutMs: 60_000 },
    });
  });

  it("takes every option", async () => {
    const words = "a.tsfsa / --snapshot=lvm --snapshot-size 20% --snapshot-max 10GiB --snapshot-store /var/tmp".split(
      " ",
    );
    const more =
      "--max-freeze 5 --pre-snapshot a --post-snapshot b --hold c --hook-timeout 7 --keep-snapshot=on-failure";
    const services = ["--stop-service", "web", "--stop-service", "database"];
    expect((await request("savefs", ...words, ...more.split(" "), ...services)).snapshot).toEqual({
      method: "lvm",
      size: { percent: 20 },
      maxBytes: 10 * 1024 ** 3,
      store: "/var/tmp",
      maxFreezeMs: 5000,
      keep: "on-failure",
      hooks: { pre: "a", post: "b", hold: "c", services: ["web", "database"], timeoutMs: 7000 },
    });
    const { snapshot } = await request("savefs", ..."--snapshot --keep-snapshot --snapshot-size 512M a /".split(" "));
    expect(snapshot).toMatchObject({ keep: "always", size: { bytes: 512 * 1024 ** 2 } });
  });

  it.each<[argv: string, message: string]>([
    ["savefs --snapshot=zfs a /", "auto"],
    ["savefs --snapshot --snapshot-size 0% a /", "20%"],
    ["savefs --snapshot --snapshot-size much a /", "20%"],
    ["savefs --snapshot --snapshot-max 0 a /", "10GiB"],
    ["savefs --snapshot --max-freeze 0 a /", "--max-freeze"],
    ["savefs --snapshot --keep-snapshot=never a /", "on-failure"],
    ["savefs --hold x a /", "--hold is for snapshots"],
    ["savefs --keep-snapshot a /", "--keep-snapshot is for snapshots"],
    ["snapshot create", "missing"],
  ])("refuses %s", async (argv, message) => {
    expect((await refusal(...argv.split(" "))).message).toContain(message);
  });

  it.each(["plan /a /b", "create /a", "list", "status n", "remove n m", "merge n"])(
    "knows snapshot %s",
    async (words) => {
      const [action, ...names] = words.split(" ");
      expect(await request("snapshot", ...words.split(" "), "--json")).toMatchObject({ action, names });
    },
  );

  it("says yes to a merge, chooses a method, and cleans up", async () => {
    expect(await request("snapshot", "merge", "--yes", "n")).toMatchObject({ yes: true });
    expect(await request("snapshot", "plan", "--method", "dm", "/a")).toMatchObject({ snapshot: { method: "dm" } });
    expect(await request("cleanup")).toEqual({});
  });
});

describe("a refusal", () => {
  it("says where help is, and what was perhaps meant", async () => {
    expect((await refusal("savefs", "A")).hints).toEqual(["tsfsa savefs --help shows what is expected"]);
    expect((await refusal("savfs", "A", "s")).hints).toEqual([
      "(Did you mean savefs?)",
      "tsfsa --help shows what is expected",
    ]);
    expect((await refusal("--frobnicate")).hints).toEqual(["tsfsa --help shows what is expected"]);
  });

  it("of a bare tsfsa carries the help", async () => {
    const { message, hints } = await refusal();
    expect(message).toBe("expected a command, found none");
    expect(hints.join("\n")).toContain("Usage: tsfsa");
  });
});

describe("help", () => {
  it("is there for the program and each command", async () => {
    for (const command of [
      "savefs",
      "savedir",
      "restfs",
      "restdir",
      "extract",
      "cat",
      "archinfo",
      "list",
      "du",
      "diff",
      "verify",
    ]) {
      const { help } = (await parse(command, "--help")) as Help;
      expect(help).toMatch(new RegExp(`^Usage: tsfsa ${command} \\[options\\] <archive>`));
      expect(((await parse("help", command)) as Help).help).toBe(help);
      expect(((await parse("--help")) as Help).help).toContain(`  ${command} `);
    }
  });

  it("has no default values that only a programmer can read", async () => {
    for (const command of ["savefs", "restdir"]) {
      expect(((await parse(command, "--help")) as Help).help).not.toMatch(/\(default: (\[|"")/);
    }
  });

  it("knows the version", async () => {
    expect(((await parse("--version")) as Help).help).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});
