// The quick verification: every record and every block by its checksum, nothing decompressed but the catalog. Rows are only looked at to name what a
// damaged block hits.

import { EntryPaths } from "../archive/entry-paths.ts";
import { framePlace } from "../archive/frames.ts";
import type { Group, GroupSource } from "../archive/reader.ts";
import { decodeBlockRows } from "../format/segmentDecoder.ts";
import { OrderedJobs } from "./ordered.ts";
import { type RunContext, startThreads } from "./restore.ts";
import type { RestorePool, RunResult } from "./run-options.ts";

const blocksPerWorker = 3;
const noPath = new Uint8Array(0);

/** Damage is told as warnings and in the result; `bytes` are those of the frames. */
export async function checkBlocks(reader: GroupSource, workers: number, context: RunContext): Promise<RunResult> {
  const { codec, digest } = reader.head;
  const policy = { overwrite: false, clearInheritedAcl: false, uid: 0, gid: 0 };
  const { signal, startPool = startThreads } = context;
  const pool = startPool({ codec, digest, policy }, workers, signal);
  try {
    return await new BlockCheck(reader, pool, context).run();
  } finally {
    await pool.close();
  }
}

class BlockCheck {
  readonly #reader: GroupSource;
  readonly #pool: RestorePool;
  readonly #context: RunContext;
  readonly #jobs: OrderedJobs;
  readonly #damagedBlocks = new Set<number>();
  #damagesTold = 0;
  #entries = 0;
  #bytes = 0;
  /** The last group in which entries start: a block that goes on with a file goes on with its last one. */
  #holder: Group | undefined;

  constructor(reader: GroupSource, pool: RestorePool, context: RunContext) {
    this.#reader = reader;
    this.#pool = pool;
    this.#context = context;
    this.#jobs = new OrderedJobs(blocksPerWorker * pool.workers);
  }

  async run(): Promise<RunResult> {
    try {
      for await (const group of this.#reader.groups(true)) {
        this.#tellDamage();
        await this.#check(group);
      }
      this.#tellDamage();
      await this.#jobs.drain();
    } catch (error) {
      this.#jobs.stop(error);
      throw error;
    }
    const hostile = this.#reader.damages.find((damage) => damage.hostile)?.message;
    const damagedBlocks = [...this.#damagedBlocks].toSorted((a, b) => a - b);
    return { entries: this.#entries, bytes: this.#bytes, images: 0, damagedBlocks, hostile };
  }

  async #check(group: Group): Promise<void> {
    const { catalog, blocks } = group;
    const { header } = catalog ?? {};
    this.#entries += header?.entryCount ?? 0;
    if (header !== undefined && header.entryCount > 0) this.#holder = group;
    const holder = this.#holder;
    for (const location of blocks) {
      this.#context.signal.throwIfAborted();
      const { number, compressedLength } = location.record;
      await this.#jobs.start(
        () => this.#pool.run("check", framePlace(location, this.#reader.input.fd)),
        (damage) => {
          this.#bytes += compressedLength;
          this.#progress();
          if (damage !== undefined) this.#lost(number, damage, group, holder);
        },
      );
    }
    if (catalog === undefined || header === undefined) return;
    const found = new Set(blocks.map(({ record }) => record.number));
    for (const i of catalog.blocks.keys()) {
      const number = header.firstBlock + i;
      if (!found.has(number)) this.#jobs.afterwards(async () => this.#lost(number, "it is missing", group, holder));
    }
  }

  /** Names a damaged block and what stands in it. */
  #lost(number: number, message: string, group: Group, holder: Group | undefined): void {
    this.#damagedBlocks.add(number);
    this.#warn("ARCHIVE_PART_LOST", noPath, `block ${number}: ${message}`);
    const { record } = group.blocks.find((location) => location.record.number === number) ?? {};
    const continued = record?.continuation?.entry;
    const described = continued === undefined ? group : holder;
    if (described === undefined) return;
    for (const { path, entry, block } of entriesOf(described, this.#reader.digest.length)) {
      if (continued === undefined ? block !== number : entry !== continued) continue;
      this.#warn("ENTRY_DAMAGED", path, `block ${number}, in which it stands, is damaged`);
    }
  }

  #tellDamage(): void {
    const { damages } = this.#reader;
    for (const { offset, message, block } of damages.slice(this.#damagesTold)) {
      if (block !== undefined) this.#damagedBlocks.add(block);
      this.#warn("ARCHIVE_PART_LOST", noPath, `at byte ${offset} of the archive: ${message}`);
    }
    this.#damagesTold = damages.length;
  }

  #progress(): void {
    const archiveTotal = this.#reader.input.length ?? 0;
    const shared = { bytesDone: this.#bytes, entriesDone: this.#entries };
    this.#context.reporter.progress({ ...shared, bytesTotal: archiveTotal, archiveBytes: this.#bytes, archiveTotal });
  }

  #warn(code: "ARCHIVE_PART_LOST" | "ENTRY_DAMAGED", path: Uint8Array, message: string): void {
    this.#context.reporter.warning({ code, path, message });
  }
}

function* entriesOf(
  group: Group,
  digestLength: number,
): Generator<{ readonly path: Uint8Array; readonly entry: number; readonly block: number }, void> {
  const { catalog } = group;
  if (catalog === undefined) return;
  const paths = new EntryPaths(Number.MAX_SAFE_INTEGER); // which source it is does not matter
  paths.enter(group);
  let entry = catalog.header.firstEntry;
  for (const [i, outline] of catalog.blocks.entries()) {
    for (const row of decodeBlockRows(outline, digestLength)) {
      yield { path: paths.next(row), entry: entry++, block: catalog.header.firstBlock + i };
    }
  }
}
