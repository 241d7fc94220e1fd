// Global set-up and tear-down of the end-to-end tests: removes what killed runs left, and fails a run that leaves something itself.

import { sweepLabs } from "./images.ts";

export default async function setup(): Promise<() => Promise<void>> {
  await sweepLabs();
  return async () => {
    const left = await sweepLabs();
    if (left.length > 0) throw new Error(`tests left labs behind: ${left.join(", ")}`);
  };
}
