// H, the digest algorithm of an archive, and what is built from it: block digests and file digests (docs/FORMAT.md, section 7). xxh128 comes from the
// addon, sha256 from Node's OpenSSL, blake3 from WebAssembly, which is loaded for it only.

import type { IHasher } from "hash-wasm";
import { ByteWriter } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { recordDigestLength } from "../format/block.ts";
import type { DigestName } from "../model/archive.ts";
import { addon } from "../sys/addon.ts";

/** Collects the leaves of one file, in order, whatever the number of blocks they came in. Memory stays under about 1 MiB. */
export interface FileDigest {
  /** The digest of a leaf that is not all zeros; leaf numbers ascend. */
  addLeaf(number: number, digest: Uint8Array): void;
  /** The file's digest, once all leaves are in. */
  finish(sizeBytes: number): Uint8Array;
}

export interface Digest {
  readonly name: DigestName;
  /** Bytes of a digest: 16 or 32. */
  readonly length: number;
  /** H of the bytes, in a new array; may be passed on as a function. */
  readonly hash: (bytes: Uint8Array) => Uint8Array;
  /** Block digest of a data frame: the first 16 bytes of H. */
  block(frame: Uint8Array): Uint8Array;
  /** Starts the digest of a file. */
  file(): FileDigest;
}

const digestLengths: Readonly<Record<DigestName, number>> = { xxh128: 16, sha256: 32, blake3: 32 };

/** H over bytes that come in parts. */
interface PartialHash {
  update(bytes: Uint8Array): void;
  finish(): Uint8Array;
}

/** Loads what the algorithm needs. The calls on a digest are synchronous. */
export async function createDigest(name: DigestName): Promise<Digest> {
  if (name === "xxh128") return makeDigest(name, xxh128, spillToWasm);
  if (name === "sha256") return createSha256();
  const { createBLAKE3 } = (await import("hash-wasm/dist/blake3.umd.min.js")).default;
  const hasher = await createBLAKE3();
  const blake3 = (bytes: Uint8Array): Uint8Array => hasher.init().update(bytes).digest("binary");
  return makeDigest(name, blake3, () => new WasmHash(hasher));
}

function makeDigest(
  name: DigestName,
  hash: (bytes: Uint8Array) => Uint8Array,
  start: () => PartialHash | undefined,
): Digest {
  return {
    name,
    length: digestLengths[name],
    hash,
    block: (frame) => hash(frame).slice(0, recordDigestLength),
    file: () => new LeafDigest(hash, start),
  };
}

function xxh128(bytes: Uint8Array): Uint8Array {
  const digest = new Uint8Array(digestLengths.xxh128);
  addon().xxh128(bytes, 0, bytes.length, digest, 0);
  return digest;
}

async function createSha256(): Promise<Digest> {
  const { createHash } = await import("node:crypto"); // OpenSSL takes its time to start
  const sha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash("sha256").update(bytes).digest());
  return makeDigest("sha256", sha256, () => {
    const hash = createHash("sha256");
    return { update: (bytes) => void hash.update(bytes), finish: () => new Uint8Array(hash.digest()) };
  });
}

/** One hasher serves many files at a time: each keeps its own state. */
class WasmHash implements PartialHash {
  readonly #hasher: IHasher;
  #state: Uint8Array;

  constructor(hasher: IHasher) {
    this.#hasher = hasher;
    this.#state = hasher.init().save();
  }

  update(bytes: Uint8Array): void {
    this.#state = this.#hasher.load(this.#state).update(bytes).save();
  }

  finish(): Uint8Array {
    return this.#hasher.load(this.#state).digest("binary");
  }
}

// The addon hashes whole ranges only. A file of more than about 40 GiB goes on in WebAssembly, loaded when the first such file comes: until it is there
// (some milliseconds) leaves only wait a little longer.
let wasmXxh128: IHasher | undefined;
let wasmLoading: Promise<void> | undefined;

function spillToWasm(): PartialHash | undefined {
  wasmLoading ??= loadWasmXxh128();
  return wasmXxh128 && new WasmHash(wasmXxh128);
}

async function loadWasmXxh128(): Promise<void> {
  const { createXXHash128 } = (await import("hash-wasm/dist/xxhash128.umd.min.js")).default;
  wasmXxh128 = await createXXHash128();
}

/** Bytes of leaf records that wait to be hashed in one call. */
const pendingBytesMax = 1024 * 1024;

class LeafDigest implements FileDigest {
  readonly #hash: (bytes: Uint8Array) => Uint8Array;
  readonly #start: () => PartialHash | undefined;
  readonly #pending = new ByteWriter(256);
  #partial: PartialHash | undefined;
  #lastLeaf = -1;

  constructor(hash: (bytes: Uint8Array) => Uint8Array, start: () => PartialHash | undefined) {
    this.#hash = hash;
    this.#start = start;
  }

  addLeaf(number: number, digest: Uint8Array): void {
    if (number <= this.#lastLeaf) throw new TsfsaError("INTERNAL", `leaf ${number} came after leaf ${this.#lastLeaf}`);
    this.#lastLeaf = number;
    this.#pending.u64(number);
    this.#pending.raw(digest);
    if (this.#pending.length < pendingBytesMax) return;
    this.#partial ??= this.#start();
    if (this.#partial === undefined) return;
    this.#partial.update(this.#pending.view());
    this.#pending.clear();
  }

  finish(sizeBytes: number): Uint8Array {
    this.#pending.u64(sizeBytes);
    if (this.#partial === undefined) return this.#hash(this.#pending.view());
    this.#partial.update(this.#pending.view());
    return this.#partial.finish();
  }
}
