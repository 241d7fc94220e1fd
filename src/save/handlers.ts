// The functions that do the jobs of saving, for one thread.

import type { JobHandlers } from "../pipeline/protocol.ts";
import { ImagePacker } from "./image-pack.ts";
import { Packer } from "./pack.ts";
import type { SaveJobs, SaveWorkerData } from "./protocol.ts";
import { Scanner } from "./scan.ts";
import type { Trees } from "./source-trees.ts";

export function saveJobs(data: SaveWorkerData, trees: Trees): JobHandlers<SaveJobs> {
  const scanner = new Scanner(data, trees);
  let packer: Promise<Packer> | undefined;
  let imagePacker: Promise<ImagePacker> | undefined;
  return {
    scan: (input) => scanner.scan(input),
    stat: (input) => scanner.stat(input),
    pack: async (input) => (await (packer ??= Packer.create(data, trees))).pack(input),
    slice: async (input) => (await (packer ??= Packer.create(data, trees))).slice(input),
    image: async (input) => (await (imagePacker ??= ImagePacker.create(data))).first(input),
    imageSlice: async (input) => (await (imagePacker ??= ImagePacker.create(data))).slice(input),
  };
}
