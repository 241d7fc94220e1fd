// Deterministic pseudo-random numbers, so that every run of the benchmark sees the same bytes.

import { createCipheriv } from "node:crypto";

/** mulberry32: one 32-bit state, good enough for test data. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** Uniform in [0, 1). */
  uniform(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** Uniform integer in [0, limit). */
  below(limit: number): number {
    return Math.floor(this.uniform() * limit);
  }

  /** Integer in [0, limit) with P(k) falling like 1/(k+1): the frequencies of words in text (Zipf's law). */
  zipf(limit: number): number {
    return Math.min(limit - 1, Math.floor(Math.exp(this.uniform() * Math.log(limit + 1))) - 1);
  }

  /** Log-normal: sizes of files in real trees. */
  logNormal(median: number, sigma: number): number {
    const normal = Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
    return median * Math.exp(sigma * normal);
  }
}

/** Incompressible bytes at the speed of the AES unit: the key stream of AES-128-CTR under a key made of the seed. */
export function noiseStream(seed: number): (length: number) => Buffer {
  const key = Buffer.alloc(16);
  key.writeUInt32LE(seed);
  const cipher = createCipheriv("aes-128-ctr", key, Buffer.alloc(16));
  return (length) => cipher.update(Buffer.alloc(length));
}
