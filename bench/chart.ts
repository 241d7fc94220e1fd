// Bar charts as SVG without dependencies: for every peer two bars, tsfsa's wall and CPU time as a share of its own. Colours and
// text have enough contrast on white and on dark grounds, since an image does not know the page it stands on.

export interface Bars {
  readonly label: string;
  readonly wall: number;
  readonly CPU: number;
}

const text = "#7a7a7a";
const series = [
  { key: "wall", colour: "#3b82d0" },
  { key: "CPU", colour: "#d9822b" },
] as const;
const width = 640;
const left = 120;
const right = 50;
const top = 58;
const barHeight = 14;
const rowHeight = 2 * barHeight + 14;

/** The line at 1 is the peer; a bar that ends before it says that tsfsa needs less. Bars end at `ratioMax`, their figures do not. */
export function barChart(title: string, rows: readonly Bars[], ratioMax = 1.5): string {
  const values = rows.flatMap((row) => [row.wall, row.CPU]).filter(Number.isFinite);
  const scaleMax = Math.min(ratioMax, Math.max(1.1, ...values));
  const height = top + rows.length * rowHeight + 24;
  const x = (ratio: number) => left + (Math.min(ratio, scaleMax) / scaleMax) * (width - left - right);
  const at = (value: number) => value.toFixed(1);
  const legend = series.map(
    ({ key, colour }, index) =>
      `<rect x="${left + index * 70}" y="32" width="10" height="10" fill="${colour}"/><text x="${left + 14 + index * 70}" y="41">${key}</text>`,
  );
  const ticks = [0, 0.5, 1, 1.5].filter((tick) => tick <= scaleMax);
  const grid = ticks.map(
    (tick) =>
      `<path d="M${at(x(tick))} ${top - 4}V${height - 20}" stroke="${text}" stroke-width="${tick === 1 ? 1.5 : 0.5}"/>` +
      `<text x="${at(x(tick))}" y="${height - 6}" text-anchor="middle">${tick === 1 ? "1 = peer" : tick}</text>`,
  );
  const bars = rows.flatMap((row, index) => [
    `<text x="${left - 8}" y="${top + index * rowHeight + barHeight + 5}" text-anchor="end">${escapeText(row.label)}</text>`,
    ...series
      .map(({ key, colour }, bar) => ({ ratio: row[key], colour, y: top + index * rowHeight + bar * barHeight }))
      .filter(({ ratio }) => Number.isFinite(ratio))
      .map(
        ({ ratio, colour, y }) =>
          `<rect x="${left}" y="${y}" width="${at(x(ratio) - left)}" height="${barHeight - 2}" fill="${colour}"/>` +
          `<text x="${at(x(ratio) + 5)}" y="${y + 10}" font-weight="bold">${ratio.toFixed(2)}</text>`,
      ),
  ]);
  const summary = rows.map((row) => `${row.label}: wall ${row.wall.toFixed(2)}, CPU ${row.CPU.toFixed(2)}`).join("; ");
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" font-family="sans-serif" font-size="12" fill="${text}">`,
    `<title>${escapeText(title)}</title>`,
    `<desc>${escapeText(summary)}</desc>`,
    `<text x="${left}" y="20" font-size="14" font-weight="bold">${escapeText(title)}</text>`,
    ...legend,
    ...grid,
    ...bars,
    "</svg>",
  ].join("\n")}\n`;
}

function escapeText(words: string): string {
  return words.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
