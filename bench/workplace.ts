// Where data sets and targets live: ext4 images in memory where images can be mounted (sources mounted read-only, a
// new file system for every restore), else plain directories.

import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import type { DataSet } from "./data/trees.ts";
import type { Options } from "./options.ts";
import { run } from "./process.ts";
import { Scratch } from "./scratch.ts";

export class Workplace {
  readonly target: string;
  readonly #scratch: Scratch;
  readonly #images: boolean;
  readonly #keep: boolean;
  readonly #signal: AbortSignal;
  #source: string | undefined;

  private constructor(scratch: Scratch, images: boolean, keep: boolean, signal: AbortSignal) {
    this.#scratch = scratch;
    this.#images = images;
    this.#keep = keep;
    this.#signal = signal;
    this.target = scratch.join("target");
  }

  static async open(options: Options, images: boolean, signal: AbortSignal): Promise<Workplace> {
    return new Workplace(await Scratch.named(options.work, options.keep), images, options.keep, signal);
  }

  get description(): string {
    const kind = this.#images ? "ext4 images, mounted read-only for saving" : "plain directories";
    return `${kind}, in ${this.#scratch.path}`;
  }

  path(name: string): string {
    return this.#scratch.join(name);
  }

  /** The image that holds a data set. */
  imageOf(data: DataSet): string | undefined {
    return this.#images ? this.path(`${data.name}.img`) : undefined;
  }

  /** Makes the data set, or takes what an earlier run with --keep left whole, and reads it once so that every tool finds a warm cache. */
  async provide(data: DataSet): Promise<string> {
    const made = this.path(`${data.name}.made`);
    const source = this.#images ? await this.#provideImage(data, made) : await this.#provideFolder(data, made);
    await run(["bash", "-c", 'tar --sparse -cf - -C "$1" . | cat > /dev/null', "warm", source], {
      signal: this.#signal,
    });
    this.#source = source;
    return source;
  }

  async #provideImage(data: DataSet, made: string): Promise<string> {
    const name = `${data.name}.img`;
    if (!existsSync(made)) {
      await this.#scratch.makeImage(name, mkfsOf(data), this.#signal);
      const mountPoint = await this.#scratch.mount(this.path(name), "source", false);
      await data.fill(mountPoint, this.#signal);
      await this.#scratch.unmount(mountPoint);
      writeFileSync(made, "");
    }
    return await this.#scratch.mount(this.path(name), "source", true);
  }

  async #provideFolder(data: DataSet, made: string): Promise<string> {
    const folder = this.path(data.name);
    if (!existsSync(made)) {
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(folder);
      await data.fill(folder, this.#signal);
      writeFileSync(made, "");
    }
    return folder;
  }

  /** Gives the memory of a data set back, unless it is to be kept. */
  async withdraw(): Promise<void> {
    const source = this.#source;
    this.#source = undefined;
    if (source === undefined) return;
    if (this.#images) await this.#scratch.unmount(source);
    if (this.#keep) return;
    this.#scratch.clear();
  }

  /** Makes `target` an empty directory: of a new file system where images can be mounted. */
  async emptyTarget(data: DataSet): Promise<void> {
    if (!this.#images) {
      mkdirSync(this.target);
      return;
    }
    await this.#scratch.makeImage("target.img", mkfsOf(data), this.#signal);
    await this.#scratch.mount(this.path("target.img"), "target", false);
  }

  async dropTarget(): Promise<void> {
    if (this.#images) await this.#scratch.unmount(this.target);
    rmSync(this.target, { recursive: true, force: true });
    rmSync(this.path("target.img"), { force: true });
  }

  async close(): Promise<void> {
    await this.#scratch.release();
  }
}

function mkfsOf(data: DataSet): { sizeBytes: number; mkfsOptions?: readonly string[] } {
  return { sizeBytes: data.imageBytes, ...(data.mkfsOptions ? { mkfsOptions: data.mkfsOptions } : {}) };
}
