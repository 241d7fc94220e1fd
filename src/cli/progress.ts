// The progress line: one line at the bottom of a terminal, redrawn in place at most ten times a second. The only code that writes escape sequences.

import { formatDuration, formatRate, formatSize } from "../base/units.ts";
import type { Progress } from "../model/events.ts";
import type { OutputStream } from "./host.ts";

const intervalMs = 100;
/** Time over which the rate is smoothed. */
const smoothingMs = 5000;

export class ProgressLine {
  readonly #stream: OutputStream;
  readonly #now: () => number;
  #shown = false;
  #drawnMs = Number.NEGATIVE_INFINITY;
  #rate: Rate | undefined;

  constructor(stream: OutputStream, now: () => number) {
    this.#stream = stream;
    this.#now = now;
  }

  update(progress: Progress): void {
    const now = this.#now();
    this.#rate ??= new Rate(now, progress.bytesDone);
    if (now - this.#drawnMs < intervalMs) return;
    this.#drawnMs = now;
    const line = progressText(progress, this.#rate.update(now, progress.bytesDone));
    // One column stays free: a full line would make some terminals scroll. The stream follows SIGWINCH by itself.
    this.#stream.write(`\r${line.slice(0, (this.#stream.columns ?? 80) - 1)}\u001b[K`);
    this.#shown = true;
  }

  /** Makes room for other text. The next update draws again. */
  clear(): void {
    if (this.#shown) this.#stream.write("\r\u001b[K");
    this.#shown = false;
  }
}

/** bytesPerSecond 0: not known yet. */
export function progressText(progress: Progress, bytesPerSecond: number): string {
  const { bytesDone, bytesTotal, entriesDone, archiveBytes, archiveTotal = 0 } = progress;
  const parts: string[] = [];
  // An archive that lost its end says nothing of its content, but has a length.
  const [done, total] = bytesTotal > 0 ? [bytesDone, bytesTotal] : [archiveBytes, archiveTotal];
  if (total > 0) parts.push(`${Math.min(100, Math.floor((100 * done) / total))} %`);
  parts.push(amount(bytesDone, bytesTotal));
  if (entriesDone > 0) parts.push(`${entriesDone.toLocaleString("en-US")} entries`);
  if (bytesPerSecond > 0) {
    parts.push(formatRate(bytesPerSecond));
    const secondsLeft = (bytesTotal - bytesDone) / bytesPerSecond;
    if (bytesTotal > bytesDone) parts.push(`${formatDuration(secondsLeft)} left`);
  }
  if (archiveBytes > 0) parts.push(`archive ${amount(archiveBytes, archiveTotal)}`);
  return parts.join("  ");
}

/** total 0: unknown. */
function amount(done: number, total: number): string {
  return total > 0 ? `${formatSize(done)} of ${formatSize(total)}` : formatSize(done);
}

/** Bytes per second as an exponential mean, so that a run of small files does not make the time left jump. */
class Rate {
  #atMs: number;
  #bytes: number;
  #value = 0;

  constructor(nowMs: number, bytes: number) {
    this.#atMs = nowMs;
    this.#bytes = bytes;
  }

  update(nowMs: number, bytes: number): number {
    const elapsedMs = nowMs - this.#atMs;
    if (elapsedMs <= 0) return this.#value;
    const current = ((bytes - this.#bytes) / elapsedMs) * 1000;
    const weight = this.#value === 0 ? 1 : 1 - Math.exp(-elapsedMs / smoothingMs);
    this.#value += (current - this.#value) * weight;
    this.#atMs = nowMs;
    this.#bytes = bytes;
    return this.#value;
  }
}
