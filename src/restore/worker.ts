// Entry of the restore worker threads.

import { workerData } from "node:worker_threads";
import { serveJobs } from "../pipeline/serve.ts";
import { restoreJobs } from "./jobs.ts";
import type { RestoreJobs, RestoreWorkerData } from "./protocol.ts";

serveJobs<RestoreJobs>(restoreJobs(workerData as RestoreWorkerData));
