// What a thread tells its pool beside messages: whether it may use descriptors, and how many answers it has sent.

import { threadWords } from "./protocol.ts";

let state: Int32Array | undefined;

/** The words this thread shares with the pool; none where jobs run without a thread. */
export function setState(words: Int32Array | undefined): void {
  state = words;
}

/**
 * Runs a call that takes long and needs no descriptor, such as compressing a block: a pool that is being closed does not wait for it. Throws when it
 * has been closed meanwhile, since the descriptors of the job may be gone.
 */
export function lettingGo<Result>(call: () => Result): Result {
  setHolding(0);
  const result = call();
  setHolding(1);
  if (isEnding()) {
    setHolding(0);
    throw new Error("the worker pool was closed");
  }
  return result;
}

export function setHolding(value: 0 | 1): void {
  if (state !== undefined) Atomics.store(state, threadWords.holding, value);
}

export function isEnding(): boolean {
  return state !== undefined && Atomics.load(state, threadWords.ending) === 1;
}

/** An answer is on its way, and with it all that the job held. */
export function tellAnswered(): void {
  if (state !== undefined) Atomics.add(state, threadWords.answered, 1);
  setHolding(0);
}
