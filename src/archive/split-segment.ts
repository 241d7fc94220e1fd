// The content of a catalog segment in parts, as format/segmentDecoder.ts splits it: the addon passes over the rows, nearly all of which are simple.

import type { SegmentHeader } from "../format/segment.ts";
import { type PassRows, splitSegment } from "../format/segmentDecoder.ts";
import { addon } from "../sys/addon.ts";

const passRows: PassRows = (content, start, count) => {
  const found = new Uint32Array(2);
  const rows = addon().passRows(content, start, count, found);
  const [end = start, digests = 0] = found;
  return { rows, end, digests };
};

/** splitSegment() at the speed of the addon. */
export function splitSegmentRows(
  header: SegmentHeader,
  content: Uint8Array,
  digestLength: number,
): ReturnType<typeof splitSegment> {
  return splitSegment(header, content, digestLength, passRows);
}
