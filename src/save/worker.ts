// Entry of the save worker threads: scan and pack jobs.

import { workerData } from "node:worker_threads";
import type { JobHandlers } from "../pipeline/protocol.ts";
import { serveJobs } from "../pipeline/serve.ts";
import { Packer } from "./pack.ts";
import type { SaveJobs, SaveWorkerData } from "./protocol.ts";
import { Scanner } from "./scan.ts";

const data = workerData as SaveWorkerData;
const scanner = new Scanner(data);
let packer: Promise<Packer> | undefined;

const handlers: JobHandlers<SaveJobs> = {
  scan: (input) => scanner.scan(input),
  stat: (input) => scanner.stat(input),
  pack: async (input) => (await (packer ??= Packer.create(data))).pack(input),
  slice: async (input) => (await (packer ??= Packer.create(data))).slice(input),
};

serveJobs<SaveJobs>(handlers);
