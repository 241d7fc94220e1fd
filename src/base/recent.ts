// Values by number, of which only those used last are kept.

export class RecentlyUsed<Value extends object> {
  readonly #most: number;
  /** The least recently used first. */
  readonly #values = new Map<number, Value>();
  #latestKey = Number.NaN;
  #latest: Value | undefined;

  /** `most`: values to keep, at least 1. */
  constructor(most: number) {
    this.#most = most;
  }

  get(key: number): Value | undefined {
    if (key === this.#latestKey) return this.#latest;
    const value = this.#values.get(key);
    if (value === undefined) return undefined;
    this.#values.delete(key);
    return this.#add(key, value);
  }

  /** Keeps the value of a key that has none, and returns it. */
  add(key: number, value: Value): Value {
    if (this.#values.size >= this.#most) this.#values.delete(this.#values.keys().next().value as number);
    return this.#add(key, value);
  }

  #add(key: number, value: Value): Value {
    this.#values.set(key, value);
    this.#latestKey = key;
    this.#latest = value;
    return value;
  }
}
