// dist/: one file for each thread's entry, one for each command, one for what the same commands share. Not one for each module: Node spends longer on finding
// and reading 150 small files than on all else of a short run. CommonJS without comments, because Node starts sooner with it, in every thread; `.cjs`, so that it need not look for a package.json that says so.
// Every file is one folder below dist/, as its source is below src/: paths relative to import.meta.dirname hold in both.

import { dirname } from "node:path";
import { defineConfig } from "rolldown";

/** Commander loads what it would start subcommands with that are programs of their own: there are none, and sockets and streams come with it. */
const withoutPrograms = {
  name: "without-programs",
  resolveId: (name, importer) => (name === "node:child_process" && /\/commander\//.test(importer) ? "/none" : undefined),
  load: (id) => (id === "/none" ? "" : undefined),
};

const shared = {
  plugins: [withoutPrograms],
  platform: "node",
  treeshake: { moduleSideEffects: false },
  external: /^(?!commander$|node:)[^./]/, // packages stay where they are, but what every run needs
};
const output = {
  dir: "dist",
  format: "cjs",
  dynamicImportInCjs: false,
  comments: false,
  entryFileNames: "[name].cjs",
  chunkFileNames: "parts/[name].cjs",
};

/** A worker with the codecs beside it, which it loads when it needs them. */
const worker = (name) => ({
  ...shared,
  input: { [name]: `src/${name}.ts` },
  output: { ...output, chunkFileNames: `${dirname(name)}/[name].cjs` },
});

export default defineConfig([
  {
    ...shared,
    input: { "cli/main": "src/cli/main.ts" },
    preserveEntrySignatures: "allow-extension", // what a part needs does not follow it into its file
    output,
  },
  worker("save/worker"),
  worker("restore/worker"),
  // For the tests of the pool, whose errors must be of one class.
  {
    ...shared,
    input: {
      "pipeline/serve": "src/pipeline/serve.ts",
      "pipeline/holding": "src/pipeline/holding.ts",
      "base/errors": "src/base/errors.ts",
    },
    output: { ...output, chunkFileNames: "pipeline/[name].cjs" },
  },
]);
