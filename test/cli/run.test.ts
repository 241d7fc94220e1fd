import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it, vi } from "vitest";
import { TsfsaError } from "../../src/base/errors.ts";
import type { Difference } from "../../src/model/difference.ts";
import { EntryKind } from "../../src/model/entry.ts";
import type { CommandContext } from "../../src/model/options.ts";
import { catalogRow } from "../support/rows.ts";
import { bytes, done, FakeHost, head, jsonLines, saved, summary } from "./fake-host.ts";

/** A save that works until it is stopped, then undoes its work. */
function endless(undo: () => Promise<void> = () => Promise.resolve()) {
  return async (_options: unknown, { signal }: CommandContext): Promise<never> => {
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    await undo();
    throw signal.reason;
  };
}

function fail(error: unknown): () => Promise<never> {
  return async () => {
    throw error;
  };
}

function talkative(_options: unknown, { reporter }: CommandContext) {
  reporter.step("opening /dev/x");
  reporter.entry?.(bytes(""));
  reporter.entry?.(bytes("etc"));
  return Promise.resolve(done({ entries: 2, bytes: 5, incomplete: 0 }));
}

/** Settles when the command of the host runs. */
function running(host: FakeHost): Promise<void> {
  return vi.waitFor(() => expect(host.events.listenerCount("SIGINT")).toBe(1), { timeout: 10_000, interval: 2 });
}

describe("a run that ends well", () => {
  it("says what was saved on standard error, nothing on standard output, and ends with 0", async () => {
    const host = new FakeHost({ savefs: () => Promise.resolve(done({ ...saved, verified: true })) });
    const ran = await host.run("savefs", "a.tsfsa", "/dev/x");
    expect(ran).toEqual({
      status: 0,
      stdout: "",
      stderr:
        "saved 14 entries, 8 MiB to a.tsfsa (2 MiB, 25 %) in 0.0 s\n" +
        "source 1: 1 not saved, 1 changed while being read\n" +
        "read back and verified\n",
    });
  });

  it("names each warning, its path escaped, and ends with 1", async () => {
    const host = new FakeHost({
      savedir: (_options, { reporter }) => {
        reporter.warning({
          code: "ENTRY_UNREADABLE",
          path: bytes("a\u001b[2J\nb"),
          message: "not saved",
          errno: "EACCES",
        });
        return Promise.resolve(done(saved, 1));
      },
    });
    const ran = await host.run("savedir", "-q", "a.tsfsa", "/srv");
    expect(ran).toEqual({ status: 1, stdout: "", stderr: "warning: a\\033[2J\\nb: not saved (EACCES)\n" });
  });

  it("calls the root `.`, and names no path where a warning has none", async () => {
    const host = new FakeHost({
      savefs: (_options, { reporter }) => {
        reporter.warning({ code: "ATTRIBUTE_LOST", path: bytes(""), message: "its ACL was not read" });
        reporter.warning({ code: "FILESYSTEM_FEATURE", path: bytes(""), message: "no casefold" });
        return Promise.resolve(done(saved, 2));
      },
    });
    const { stderr } = await host.run("savefs", "-q", "a.tsfsa", "/dev/x");
    expect(stderr).toBe("warning: .: its ACL was not read\nwarning: no casefold\n");
  });

  it("is silent with -q", async () => {
    const host = new FakeHost({ savefs: () => Promise.resolve(done(saved)) });
    expect(await host.run("savefs", "-q", "a.tsfsa", "/dev/x")).toEqual({ status: 0, stdout: "", stderr: "" });
  });

  it("names steps and entries with -v only", async () => {
    const talking = await new FakeHost({ restdir: talkative }).run("restdir", "-v", "A", "d");
    expect(talking.stderr).toBe("opening /dev/x\n.\netc\nrestored 2 entries, 5 B in 0.0 s\n");
    const quiet = await new FakeHost({ restdir: talkative }).run("restdir", "A", "d");
    expect(quiet.stderr).toBe("restored 2 entries, 5 B in 0.0 s\n");
  });

  it("of verify names damaged blocks", async () => {
    const details = { blocks: 1200, entries: 5, bytes: 1024, damagedBlocks: [7, 9] };
    const host = new FakeHost({ verify: () => Promise.resolve(done(details, 2)) });
    const ran = await host.run("verify", "a\nb");
    expect(ran.status).toBe(1);
    expect(ran.stderr).toBe(
      "a\\nb: 2 of 1,200 blocks, 5 entries, 1 KiB damaged: block 7, 9\n2 warnings: exit status 1\n",
    );
  });

  it("shows rows on standard output, with a heading where another source begins", async () => {
    const entries = [
      { source: 0, number: 0, path: bytes(""), row: catalogRow({ kind: EntryKind.directory, mode: 0o755 }) },
      { source: 1, number: 1, path: bytes("x"), row: catalogRow({ uid: 1000, size: 12 }) },
    ];
    const host = new FakeHost({
      list: async (_options, _context, onEntry) => {
        for (const entry of entries) await onEntry(entry);
        return done({ entries: 2 });
      },
    });
    expect(await host.run("list", "A")).toEqual({
      status: 0,
      stdout:
        "drwxr-xr-x     0     0            0 1970-01-01T00:00:00Z .\n" +
        "\nsource 1:\n-rw-r--r--  1000     0           12 1970-01-01T00:00:00Z x\n",
      stderr: "",
    });
  });
});

describe("what commands find", () => {
  const differences: readonly Difference[] = [
    { change: "removed", source: 0, path: bytes("gone"), fields: [] },
    { change: "added", source: 0, path: bytes("a\u001b"), fields: [] },
    {
      change: "changed",
      source: 1,
      path: bytes(""),
      fields: [
        { field: "mode", archived: "0644", found: "0600" },
        { field: "flags", archived: "", found: "i" },
        { field: "attribute", name: bytes("user.x") },
        { field: "content" },
      ],
    },
  ];
  const found = { compared: 7, removed: 1, added: 1, changed: 1, content: "digest" } as const;
  const host = (): FakeHost =>
    new FakeHost({
      async diff(_options, _context, onDifference) {
        for (const difference of differences) await onDifference(difference);
        return { status: 1, warnings: 0, details: found };
      },
      async du(_options, _context, onDirectory) {
        await onDirectory({ source: 0, path: bytes("a"), depth: 1, entries: 1234, files: 2, bytes: 2048 });
        return done({ entries: 1234, bytes: 2048 });
      },
      async cat(_options, _context, write) {
        await write(Uint8Array.of(0x61, 0xff));
        return done({ bytes: 2 });
      },
    });

  it("differs in lines that say how, and ends with 1 without a word of warnings", async () => {
    const { status, stdout, stderr } = await host().run("diff", "A", "/mnt");
    expect(status).toBe(1);
    expect(stdout).toBe(
      "- gone\n+ a\\033\n\nsource 1:\n~ .: mode 0644 -> 0600, flags none -> i, attribute user.x, content\n",
    );
    expect(stderr).toBe("1 only in the archive, 1 not in it, 1 changed; 7 entries compared\n");
  });

  it("differs in objects with --json", async () => {
    const { stdout } = await host().run("diff", "--json", "A", "/mnt");
    expect(jsonLines(stdout)).toMatchObject([
      { type: "difference", change: "removed", path: "gone" },
      { type: "difference", change: "added" },
      {
        type: "difference",
        source: 1,
        path: "",
        fields: [{ field: "mode" }, {}, { name: "user.x" }, { field: "content" }],
      },
      { type: "summary", command: "diff", status: 1, warnings: 0, ...found },
    ]);
  });

  it("sums up in columns", async () => {
    expect((await host().run("du", "A")).stdout).toBe("     2 KiB       1,234 a\n");
  });

  it("is bytes for cat, and all else goes to standard error", async () => {
    const cat = host();
    expect((await cat.run("cat", "--json", "A", "f")).stdout).toBe("a\ufffd");
    expect(jsonLines(cat.stderr.text)).toMatchObject([{ type: "summary", command: "cat", bytes: 2 }]);
  });
});

describe("--json", () => {
  it("gives one object a line, the summary last", async () => {
    const host = new FakeHost({
      savefs: (_options, { reporter }) => {
        reporter.step("not shown without -v");
        for (const nowMs of [0, 400, 500, 1200]) {
          host.nowMs = nowMs;
          reporter.progress({ bytesDone: nowMs, bytesTotal: 0, entriesDone: 1, archiveBytes: 0 });
        }
        reporter.warning({ code: "ENTRY_CHANGED", path: Uint8Array.of(0x66, 0xff), message: "changed" });
        return Promise.resolve(done(saved, 1));
      },
    });
    const { status, stdout, stderr } = await host.run("savefs", "--json", "a.tsfsa", "/dev/x");
    expect([status, stderr]).toEqual([1, ""]);
    const lines = jsonLines(stdout);
    expect(lines.map(({ type }) => type)).toEqual(["progress", "progress", "progress", "warning", "summary"]);
    expect(lines.slice(0, 3).map(({ bytesDone }) => bytesDone)).toEqual([0, 500, 1200]);
    expect(lines[3]).toEqual({ type: "warning", code: "ENTRY_CHANGED", pathBase64: "Zv8=", message: "changed" });
    expect(lines[4]).toMatchObject({
      command: "savefs",
      status: 1,
      warnings: 1,
      archive: "a.tsfsa",
      archiveId: head.archiveId,
      archiveBytes: 2_097_152,
      entries: 14,
      sources: [{ id: 0, origin: "/dev/sda2", files: 4 }, { id: 1 }],
      elapsedMs: 1200,
    });
  });

  it("goes to standard error when the archive goes to standard output", async () => {
    const host = new FakeHost({ savefs: () => Promise.resolve(done({ ...saved, archive: "-" })) });
    const { stdout, stderr } = await host.run("savefs", "--json", "-", "/dev/x");
    expect(stdout).toBe("");
    expect(jsonLines(stderr)).toMatchObject([{ type: "summary", status: 0 }]);
  });

  it("tells an error, then the summary with the exit status", async () => {
    const error = new TsfsaError("ARCHIVE_DAMAGED", "bad block", {
      path: Uint8Array.of(0xfe),
      offsetBytes: 12,
      hints: ["fetch it again"],
    });
    const host = new FakeHost({ verify: fail(error) });
    const { status, stdout } = await host.run("verify", "--json", "A");
    expect(status).toBe(10);
    expect(jsonLines(stdout)).toEqual([
      {
        type: "error",
        code: "ARCHIVE_DAMAGED",
        message: "bad block",
        hints: ["fetch it again"],
        pathBase64: "/g==",
        offsetBytes: 12,
      },
      { type: "summary", command: "verify", status: 10, warnings: 0, elapsedMs: expect.any(Number) },
    ]);
  });

  it("also tells a refused command line", async () => {
    const { status, stdout, stderr } = await new FakeHost({}).run("savefs", "--json", "A");
    expect([status, stderr]).toEqual([64, ""]);
    expect(jsonLines(stdout)).toMatchObject([
      { type: "error", code: "USAGE", message: "missing required argument 'source'" },
      { type: "summary", status: 64 },
    ]);
  });

  it("gives archinfo as one object", async () => {
    const information = { head, summary, archiveBytes: 5, stockRestoreCommand: "zstd -dc a | tar x" };
    const host = new FakeHost({ archinfo: () => Promise.resolve(done(information)) });
    const { stdout } = await host.run("archinfo", "--json", "A");
    expect(jsonLines(stdout)[0]).toEqual({ type: "archive", ...JSON.parse(JSON.stringify(information)) });
  });
});

describe("a run that fails", () => {
  it("tells the error in one sentence with its hints, and ends with the status of its code", async () => {
    const error = new TsfsaError("ARCHIVE_EXISTS", "the archive a exists already", { hints: ["choose another name"] });
    const ran = await new FakeHost({ savefs: fail(error) }).run("savefs", "a", "/dev/x");
    expect(ran).toEqual({
      status: 6,
      stdout: "",
      stderr: "tsfsa: the archive a exists already\n  choose another name\n",
    });
  });

  it("shows the command line of a tool that failed, and what the tool said, harmless for a terminal", async () => {
    const error = new TsfsaError("TOOL_FAILED", "mkfs.ext4 failed:\n\n \n\tbad \u001b[31mlabel", {
      command: ["mkfs.ext4", "-L", "x\u0007"],
    });
    const ran = await new FakeHost({ restfs: fail(error) }).run("restfs", "A", "id=0,dest=x");
    expect(ran.stderr).toBe(
      "tsfsa: mkfs.ext4 failed:\n  bad \\u{1b}[31mlabel\n  the command was: mkfs.ext4 -L x\\u{7}\n",
    );
  });

  it("takes an exception without a code for a defect: status 2, the stack with -v only", async () => {
    const failing = { verify: fail(new TypeError("x is not a function")) };
    const brief = await new FakeHost(failing).run("verify", "A");
    expect(brief.status).toBe(2);
    expect(brief.stderr).toMatch(
      /^tsfsa: this is a defect of tsfsa: TypeError: x is not a function\n {2}please report/,
    );
    expect(brief.stderr).not.toContain("fake-host");
    expect((await new FakeHost(failing).run("verify", "-v", "A")).stderr).toContain("run.test.ts");
  });

  it("knows the errors of Node's own calls", async () => {
    const error = Object.assign(new Error("ENOSPC: no space left on device, write"), { errno: -28, code: "ENOSPC" });
    const { stdout } = await new FakeHost({ verify: fail(error) }).run("verify", "--json", "A");
    expect(jsonLines(stdout)[0]).toMatchObject({ code: "NO_SPACE", errno: "ENOSPC" });
  });

  it("opens nothing when the command line is refused: status 64", async () => {
    const ran = await new FakeHost({}).run("savefs", "A");
    expect(ran).toEqual({
      status: 64,
      stdout: "",
      stderr: "tsfsa: missing required argument 'source'\n  tsfsa savefs --help shows what is expected\n",
    });
  });

  it("neither writes an archive to a terminal nor reads one from it", async () => {
    const writer = new FakeHost({});
    writer.terminals.stdout = true;
    expect(await writer.run("savefs", "-", "/dev/x")).toMatchObject({
      status: 64,
      stderr: expect.stringContaining("found a terminal"),
    });
    const reader = new FakeHost({});
    reader.terminals.stdin = true;
    expect(await reader.run("verify", "-")).toMatchObject({
      status: 64,
      stderr: expect.stringContaining("found a terminal"),
    });
  });
});

describe("help", () => {
  it("goes to standard output with status 0", async () => {
    const ran = await new FakeHost({}).run("--help");
    expect([ran.status, ran.stderr]).toEqual([0, ""]);
    expect(ran.stdout).toMatch(/^Usage: tsfsa/);
  });

  it("of a command is no failure, whatever status the program would end with until then", async () => {
    process.exitCode = 2; // as in main.ts
    try {
      const ran = await new FakeHost({}).run("help", "savefs");
      expect([ran.status, ran.stderr]).toEqual([0, ""]);
      expect(ran.stdout).toMatch(/^Usage: tsfsa savefs/);
    } finally {
      process.exitCode = undefined;
    }
  });
});

describe("a signal", () => {
  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ])("%s stops the command, waits until it has undone its work, and ends with %i", async (signal, status) => {
    let undone = false;
    const host = new FakeHost({
      savefs: endless(async () => {
        await sleep(20);
        undone = true;
      }),
    });
    const result = host.run("savefs", "a", "/dev/x");
    await running(host);
    host.events.emit(signal);
    const ran = await result;
    expect([ran.status, undone, host.ended]).toEqual([status, true, [signal]]);
    expect(ran.stderr).toBe(`tsfsa: stopped by ${signal}: undoing what was begun (once more: stop at once)\n`);
    expect(host.events.listenerCount(signal)).toBe(0);
  });

  it("of the same kind again ends the process at once, of another kind it does not", async () => {
    const host = new FakeHost({ savefs: endless(() => sleep(50)) });
    const result = host.run("savefs", "a", "/dev/x");
    await running(host);
    host.events.emit("SIGINT");
    host.events.emit("SIGTERM");
    expect(host.ended).toEqual([]);
    host.events.emit("SIGINT");
    expect(host.ended).toEqual(["SIGINT"]);
    expect((await result).status).toBe(130);
  });

  it("that comes too late changes nothing: what is done is done", async () => {
    const host = new FakeHost({
      savefs: () => {
        host.events.emit("SIGTERM");
        return Promise.resolve(done(saved));
      },
    });
    expect((await host.run("savefs", "a.tsfsa", "/dev/x")).status).toBe(0);
  });

  it("leaves word of what could not be undone", async () => {
    const host = new FakeHost({ savefs: endless(fail(new TsfsaError("IO", "cannot detach /dev/loop3"))) });
    const result = host.run("savefs", "a", "/dev/x");
    await running(host);
    host.events.emit("SIGINT");
    const ran = await result;
    expect(ran.status).toBe(130);
    expect(ran.stderr).toContain("cannot detach /dev/loop3");
  });

  it("is told in JSON, with its exit status in the summary", async () => {
    const host = new FakeHost({ savefs: endless() });
    const result = host.run("savefs", "--json", "a", "/dev/x");
    await running(host);
    host.events.emit("SIGTERM");
    expect(jsonLines((await result).stdout)).toMatchObject([
      { type: "error", code: "INTERRUPTED", signal: "SIGTERM" },
      { type: "summary", status: 143 },
    ]);
  });
});

describe("an exception that nobody caught", () => {
  it("stops the command and ends with 2, not with Node's 1", async () => {
    const host = new FakeHost({ savefs: endless() });
    const result = host.run("savefs", "a", "/dev/x");
    await running(host);
    host.events.emit("uncaughtException", new RangeError("out of bounds"));
    const ran = await result;
    expect(ran.status).toBe(2);
    expect(ran.stderr).toContain("this is a defect of tsfsa: RangeError: out of bounds");
  });

  it("does not wait for ever for a command that it broke", async () => {
    const host = new FakeHost({ savefs: () => new Promise(() => {}) });
    void host.run("savefs", "a", "/dev/x");
    await running(host);
    vi.useFakeTimers();
    try {
      host.events.emit("unhandledRejection", "lost");
      vi.advanceTimersByTime(9_999);
      expect(host.ended).toEqual([]);
      vi.advanceTimersByTime(1);
      expect(host.ended).toEqual([2]);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe("standard output that is lost", () => {
  const listing = Array.from({ length: 3000 }, (_, number) => ({
    source: 0,
    number,
    path: bytes(`f${number}`),
    row: catalogRow(),
  }));
  const host = (failure: string): FakeHost => {
    const made = new FakeHost({
      list: async (_options, { signal }, onEntry) => {
        for (const entry of listing) {
          signal.throwIfAborted();
          await onEntry(entry);
        }
        return done({ entries: listing.length });
      },
    });
    made.stdout.failure = failure;
    return made;
  };

  it("to a reader that went away ends the run in silence, as SIGPIPE would", async () => {
    expect(await host("EPIPE").run("list", "A")).toEqual({ status: 141, stdout: "", stderr: "" });
    expect(await host("EPIPE").run("--help")).toMatchObject({ status: 141, stderr: "" });
  });

  it("to a full disk is a failure", async () => {
    const ran = await host("ENOSPC").run("list", "A");
    expect(ran.status).toBe(2);
    expect(ran.stderr).toBe("tsfsa: cannot write to standard output: write ENOSPC\n");
  });
});

describe("the question before something is overwritten", () => {
  const asking = {
    restfs: async (_options: unknown, { confirm }: CommandContext) => {
      const agreed = await confirm(["/dev/x holds ext4 root", "it will be replaced"]);
      return done({ entries: agreed ? 1 : 0, bytes: 0, incomplete: 0 });
    },
  };
  const answered = async (answer: string | undefined, ...options: string[]): Promise<string> => {
    const host = new FakeHost(asking);
    host.terminals.stdin = true;
    host.terminals.stderr = true;
    if (answer === undefined) host.stdin.end();
    else host.stdin.write(answer);
    return (await host.run("restfs", ...options, "A", "id=0,dest=/dev/x")).stderr;
  };
  const agreed = async (answer: string | undefined): Promise<boolean> =>
    (await answered(answer)).includes("restored 1 entry");

  it("is asked on a terminal, and only yes is yes", async () => {
    for (const yes of ["y\n", "yes\n", " Y \n"]) expect([yes, await agreed(yes)]).toEqual([yes, true]);
    for (const no of ["\n", "n\n", "yeah\n", undefined]) expect([no, await agreed(no)]).toEqual([no, false]);
    expect(await answered("y\n", "-q")).toBe("/dev/x holds ext4 root\nit will be replaced\nGo on? [y/N] ");
  });

  it("needs no answer where nobody can be asked and the command says so", async () => {
    const blank = {
      restfs: async (_options: unknown, { confirm }: CommandContext) => {
        const goesOn = await confirm(["/dev/x holds nothing"], true);
        return done({ entries: goesOn ? 1 : 0, bytes: 0, incomplete: 0 });
      },
    };
    const ran = await new FakeHost(blank).run("restfs", "A", "id=0,dest=/dev/x");
    expect(ran.stderr).toMatch(/^\/dev\/x holds nothing\nrestored 1 entry/);
    const asked = new FakeHost(blank);
    asked.terminals.stdin = true;
    asked.terminals.stderr = true;
    asked.stdin.end("n\n");
    expect((await asked.run("restfs", "A", "id=0,dest=/dev/x")).stderr).toContain("restored 0 entries");
  });

  it("is answered by --yes", async () => {
    const ran = await new FakeHost(asking).run("restfs", "--yes", "A", "id=0,dest=/dev/x");
    expect(ran.stderr).toContain("it will be replaced\nrestored 1 entry");
  });

  it("is answered by no where nobody can be asked", async () => {
    const ran = await new FakeHost(asking).run("restfs", "A", "id=0,dest=/dev/x");
    expect(ran.stderr).toContain("restored 0 entries");
    expect(await answered("y\n", "--json")).not.toContain("[y/N]");
  });

  it("ends with the run when a signal comes", async () => {
    const host = new FakeHost(asking);
    host.terminals.stdin = true;
    host.terminals.stderr = true;
    const result = host.run("restfs", "A", "id=0,dest=/dev/x");
    await vi.waitFor(() => expect(host.stderr.text).toContain("[y/N]"), { timeout: 10_000, interval: 2 });
    host.events.emit("SIGINT");
    expect((await result).status).toBe(130);
  });
});

/** What a save shows that tells progress, then a warning. */
async function show(terminal: boolean, environment: Record<string, string>, ...options: string[]): Promise<string> {
  const host: FakeHost = new FakeHost({
    savefs: (_options, { reporter }) => {
      reporter.progress({ bytesDone: 0, bytesTotal: 100, entriesDone: 0, archiveBytes: 0 });
      host.nowMs = 1000;
      reporter.progress({ bytesDone: 50, bytesTotal: 100, entriesDone: 3, archiveBytes: 9 });
      reporter.warning({ code: "ENTRY_CHANGED", path: bytes("f"), message: "changed" });
      return Promise.resolve(done(saved, 1));
    },
  });
  host.terminals.stderr = terminal;
  host.environment = environment;
  return (await host.run("savefs", ...options, "a.tsfsa", "/dev/x")).stderr;
}

describe("the progress line", () => {
  it("is drawn on a terminal, and gives way to text", async () => {
    const text = await show(true, { TERM: "xterm" });
    expect(text).toContain(
      "\r50 %  50 B of 100 B  3 entries  50 B/s  1.0 s left  archive 9 B\u001b[K\r\u001b[Kwarning: f: changed\n",
    );
    expect(text).toMatch(/exit status 1\n$/);
  });

  it("never puts escape sequences where no terminal can redraw, nor with -q or --json", async () => {
    for (const [terminal, environment, ...options] of [
      [false, { TERM: "xterm" }],
      [true, { TERM: "dumb" }],
      [true, { TERM: "xterm" }, "-q"],
      [true, { TERM: "xterm" }, "--json"],
    ] as const) {
      expect(await show(terminal, environment, ...options)).not.toContain("\u001b");
    }
  });
});
