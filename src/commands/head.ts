// The head of a new archive: identity, time and coding, from the options and the environment.

import { createHash, randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { TsfsaError } from "../base/errors.ts";
import { programVersion } from "../base/version.ts";
import { encodeHead } from "../format/head.ts";
import { formatVersion } from "../format/version.ts";
import type { Head, SourceDescription } from "../model/archive.ts";
import type { SaveOptions } from "../model/options.ts";

/** An older reader would not find the frames. */
const versions = { format: formatVersion, oldestReader: formatVersion };

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The head without its preamble. With SOURCE_DATE_EPOCH in the environment, time and id are pinned: the same inputs give the same bytes
 * (docs/FORMAT.md, section 9).
 */
export function newHead(
  options: Pick<SaveOptions, "compression" | "digest" | "label">,
  sources: readonly SourceDescription[],
  environment: Environment,
): Omit<Head, "preamble"> {
  const epoch = environment["SOURCE_DATE_EPOCH"];
  const { codec, level, blockSize } = options.compression;
  const head = {
    ...versions,
    creator: `tsfsa ${programVersion}`,
    created: timestamp(epoch),
    label: options.label,
    codec,
    level,
    blockSize,
    digest: options.digest,
    sources,
  };
  return withNewId(head, environment);
}

/** The head of an archive made of what is left of another: it tells of the same, but is another archive. */
export function salvagedHead(head: Head, environment: Environment): Omit<Head, "preamble"> {
  const { preamble: _, ...rest } = head;
  return withNewId({ ...rest, ...versions, creator: `tsfsa ${programVersion}` }, environment);
}

function withNewId(head: Omit<Head, "preamble" | "archiveId">, environment: Environment): Omit<Head, "preamble"> {
  const epoch = environment["SOURCE_DATE_EPOCH"];
  if (epoch === undefined || epoch === "") return { ...head, archiveId: randomBytes(16).toString("hex") };
  const preamble = { length: 0, digest: "" };
  const pinned = encodeHead({ ...head, archiveId: "", preamble });
  return { ...head, archiveId: createHash("sha256").update(pinned).digest("hex").slice(0, 32) };
}

/** What a source is called in the head: where it was, on which machine. */
export function originOf(path: string): string {
  return `${hostname()}:${path}`;
}

function timestamp(epoch: string | undefined): string {
  let milliseconds = Date.now();
  if (epoch !== undefined && epoch !== "") {
    if (!/^\d{1,12}$/.test(epoch)) {
      throw new TsfsaError("USAGE", `SOURCE_DATE_EPOCH must be seconds since 1970, found ${JSON.stringify(epoch)}`);
    }
    milliseconds = Number(epoch) * 1000;
  }
  return new Date(milliseconds).toISOString().replace(/\.\d+Z$/, "Z");
}
