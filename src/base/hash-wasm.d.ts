// hash-wasm in parts: one file an algorithm. The whole package is 400 KB of CommonJS, which every thread would scan for its exports at start.

declare module "hash-wasm/dist/xxhash128.umd.min.js" {
  import type { createXXHash128 } from "hash-wasm";
  const part: { readonly createXXHash128: typeof createXXHash128 };
  export default part;
}

declare module "hash-wasm/dist/blake3.umd.min.js" {
  import type { createBLAKE3 } from "hash-wasm";
  const part: { readonly createBLAKE3: typeof createBLAKE3 };
  export default part;
}

declare module "hash-wasm/dist/blake2b.umd.min.js" {
  import type { blake2b } from "hash-wasm";
  const part: { readonly blake2b: typeof blake2b };
  export default part;
}
