// Where the content of files stands that are about to be read: their runs, one file after the other in one array, without an object for each.

import { wide } from "./inode.ts";

// A file: inode · bytes (two words) · number of runs · runs. A run, in blocks: place in the file · length · place on the device (two words).
const head = 4;
const runWords = 4;

export class KnownRuns {
  #words = new Uint32Array(8192);
  #end = 0;
  /** Where find() looks first. */
  #near = 0;
  /** Of the file that was started last: its end so far, and its runs at most. */
  #to = 0;
  #most = 0;

  clear(): void {
    this.#end = 0;
    this.#near = 0;
  }

  /** Starts a file, which stands here once it is kept. */
  start(inode: number, size: number, most: number): void {
    this.#most = most;
    this.#to = this.#end + head;
    this.#reserve(head);
    const words = this.#words;
    words[this.#end] = inode;
    words[this.#end + 1] = size;
    words[this.#end + 2] = Math.floor(size / 2 ** 32);
    words[this.#end + 3] = 0;
  }

  /** Adds a run to the file that was started, behind those before. */
  add(logical: number, length: number, physical: number): void {
    const at = this.#to;
    const count = (this.#words[this.#end + 3] as number) + 1;
    if (count > this.#most + 1) return;
    this.#reserve(runWords);
    const words = this.#words;
    words[this.#end + 3] = count;
    words[at] = logical;
    words[at + 1] = length;
    words[at + 2] = physical;
    words[at + 3] = Math.floor(physical / 2 ** 32);
    this.#to = at + runWords;
  }

  /** Where the file that was started stands; −1: it has too many runs, and is not kept. */
  keep(): number {
    const at = this.#end;
    if ((this.#words[at + 3] as number) > this.#most) return -1;
    this.#end = this.#to;
    return at;
  }

  /** Forgets the file at `at` and those behind. */
  cut(at: number): void {
    this.#end = at;
    this.#near = 0;
  }

  /** Where the file with this inode stands; −1: it is not known. Quick in their order. */
  find(inode: number): number {
    const near = this.#near;
    const found = this.#search(inode, near, this.#end);
    return found >= 0 ? found : this.#search(inode, 0, near);
  }

  /** Bytes. */
  size(at: number): number {
    return wide(this.#words[at + 1] as number, this.#words[at + 2] as number);
  }

  /** Number of runs. */
  count(at: number): number {
    return this.#words[at + 3] as number;
  }

  logical(at: number, run: number): number {
    return this.#words[at + head + run * runWords] as number;
  }

  length(at: number, run: number): number {
    return this.#words[at + head + run * runWords + 1] as number;
  }

  physical(at: number, run: number): number {
    const place = at + head + run * runWords + 2;
    return wide(this.#words[place] as number, this.#words[place + 1] as number);
  }

  #search(inode: number, from: number, to: number): number {
    const words = this.#words;
    for (let at = from; at < to; ) {
      const next = at + head + (words[at + 3] as number) * runWords;
      if (words[at] === inode) {
        this.#near = next;
        return at;
      }
      at = next;
    }
    return -1;
  }

  #reserve(more: number): void {
    if (this.#to + more <= this.#words.length) return;
    const words = new Uint32Array(2 * this.#words.length);
    words.set(this.#words);
    this.#words = words;
  }
}
