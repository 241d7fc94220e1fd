// The layers of docs/ARCHITECTURE.md as rules: a file imports its own folder or a lower layer, nothing else.
const layers = [
  ["base"],
  ["model"],
  ["sys"],
  ["format"],
  ["codec", "filesystem"],
  ["archive", "pipeline"],
  ["save", "restore", "snapshot"],
  ["commands"],
  ["cli"],
];

const layerRules = layers.flatMap((folders, level) =>
  folders.map((folder) => {
    const allowed = [folder, ...layers.slice(0, level).flat()];
    return {
      name: `${folder}-imports-down`,
      severity: "error",
      from: { path: `^src/${folder}/` },
      to: { path: "^src/", pathNot: `^src/(${allowed.join("|")})/` },
    };
  }),
);

module.exports = {
  forbidden: [
    ...layerRules,
    { name: "no-circular", severity: "error", from: {}, to: { circular: true } },
    {
      name: "format-is-pure",
      comment: "format/, model/ and base/ are bytes and values: no Node modules",
      severity: "error",
      from: { path: "^src/(base|model|format)/" },
      to: { dependencyTypes: ["core"] },
    },
    {
      name: "format-asks-for-checksums-only",
      comment: "the addon computes the checksum of records: nothing else of sys is of use for bytes and values",
      severity: "error",
      from: { path: "^src/format/", pathNot: "^src/format/checksum\\.ts$" },
      to: { path: "^src/sys/" },
    },
    {
      name: "only-sys-loads-the-addon",
      severity: "error",
      from: { pathNot: "^src/sys/" },
      to: { path: "\\.node$" },
    },
  ],
  options: {
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
  },
};
