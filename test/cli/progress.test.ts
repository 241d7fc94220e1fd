import { describe, expect, it } from "vitest";
import { ProgressLine, progressText } from "../../src/cli/progress.ts";
import { Capture } from "./fake-host.ts";

const progress = (bytesDone: number, bytesTotal = 0) => ({
  bytesDone,
  bytesTotal,
  entriesDone: 12_345,
  archiveBytes: 0,
});

describe("the text of the progress line", () => {
  it("leaves out what is not known", () => {
    expect(progressText(progress(2048), 0)).toBe("2 KiB  12,345 entries");
    expect(progressText(progress(2048), 1024)).toBe("2 KiB  12,345 entries  1 KiB/s");
    expect(progressText({ ...progress(2048), entriesDone: 0 }, 0)).toBe("2 KiB");
  });

  it("measures by the archive where its content is not known", () => {
    const reading = { ...progress(4096), entriesDone: 0, archiveBytes: 1024, archiveTotal: 2048 };
    expect(progressText(reading, 0)).toBe("50 %  4 KiB  archive 1 KiB of 2 KiB");
  });

  it("never claims more than all, nor time left when all is done", () => {
    expect(progressText(progress(3000, 2000), 100)).toBe("100 %  2.93 KiB of 1.95 KiB  12,345 entries  100 B/s");
    expect(progressText(progress(999, 1000), 1)).toContain("99 %");
  });
});

function make() {
  const stream = new Capture();
  const clock = { ms: 0 };
  return { stream, clock, line: new ProgressLine(stream, () => clock.ms) };
}

describe("the progress line", () => {
  it("is drawn at most ten times a second", () => {
    const { stream, clock, line } = make();
    for (clock.ms = 0; clock.ms < 1000; clock.ms++) line.update(progress(clock.ms));
    expect(stream.text.match(/\r/g)).toHaveLength(10);
  });

  it("fits the width the terminal has now", () => {
    const { stream, clock, line } = make();
    line.update(progress(0));
    stream.text = "";
    stream.columns = 10;
    clock.ms = 200;
    line.update(progress(5000));
    expect(stream.text).toBe("\r4.88 KiB \u001b[K");
  });

  it("is cleared only when it is there", () => {
    const { stream, line } = make();
    line.clear();
    expect(stream.text).toBe("");
    line.update(progress(0));
    stream.text = "";
    line.clear();
    line.clear();
    expect(stream.text).toBe("\r\u001b[K");
  });

  it("smooths the rate: a moment without bytes does not make it fall to nothing", () => {
    const { stream, clock, line } = make();
    for (clock.ms = 0; clock.ms <= 10_000; clock.ms += 1000) line.update(progress(clock.ms * 1024));
    stream.text = "";
    clock.ms = 10_200;
    line.update(progress(10_000 * 1024));
    expect(stream.text).toMatch(/9\d\d KiB\/s/);
  });
});
