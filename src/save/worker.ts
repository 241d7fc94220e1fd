// Entry of the save worker threads: scan and pack jobs.

import { workerData } from "node:worker_threads";
import { serveJobs } from "../pipeline/serve.ts";
import { saveJobs } from "./handlers.ts";
import type { SaveJobs, SaveWorkerData } from "./protocol.ts";
import { SourceTrees } from "./source-trees.ts";

const data = workerData as SaveWorkerData;
void SourceTrees.open(data.sources).then((trees) => serveJobs<SaveJobs>(saveJobs(data, trees)));
