// The generators of test trees, in one place: values (model), making them on disk (build), the tree of everything, random trees
// and the big tree that looks like source code.

export { treeArbitrary } from "./trees/arbitrary.ts";
export { buildTree } from "./trees/build.ts";
export { type EverythingOptions, everythingFor, everythingTree } from "./trees/everything.ts";
export * from "./trees/model.ts";
export { makeSourceTree } from "./trees/source.ts";
