// The member name of the directory the plan is in, kept as one growing buffer, so that depth costs no copies.

export class MemberPath {
  #bytes: Uint8Array;
  #length: number;
  /** Length before each component that was entered. */
  readonly #starts: number[] = [];

  /** `prefix`: of the source's members, with its trailing slash; it is the root's own name. */
  constructor(prefix: Uint8Array) {
    this.#bytes = new Uint8Array(Math.max(4096, prefix.length * 2));
    this.#bytes.set(prefix);
    this.#length = prefix.length;
  }

  /** A path as it stands after `depth` − 1 components were entered; leave() works down to the first of them. */
  static of(memberName: Uint8Array, depth: number): MemberPath {
    const path = new MemberPath(memberName);
    const starts: number[] = [];
    let end = memberName.length;
    for (let i = 1; i < depth; i++) {
      end = memberName.lastIndexOf(0x2f, end - 2) + 1;
      starts.push(end);
    }
    path.#starts.push(...starts.toReversed());
    return path;
  }

  /** Name of the current directory with a trailing slash. Valid until the path changes. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  get length(): number {
    return this.#length;
  }

  /** Components below the root. */
  get depth(): number {
    return this.#starts.length;
  }

  enter(name: Uint8Array): void {
    const length = this.#length + name.length + 1;
    if (length > this.#bytes.length) {
      const grown = new Uint8Array(length * 2);
      grown.set(this.bytes);
      this.#bytes = grown;
    }
    this.#starts.push(this.#length);
    this.#bytes.set(name, this.#length);
    this.#bytes[length - 1] = 0x2f;
    this.#length = length;
  }

  leave(): void {
    this.#length = this.#starts.pop() ?? this.#length;
  }

  /** Full member name of an entry in the current directory. */
  join(name: Uint8Array): Uint8Array {
    const joined = new Uint8Array(this.#length + name.length);
    joined.set(this.bytes);
    joined.set(name, this.#length);
    return joined;
  }

  /** Names from the root (empty) down to the current directory. */
  components(): Uint8Array[] {
    const names = [new Uint8Array(0)];
    for (let i = 0; i < this.#starts.length; i++) {
      const end = (this.#starts[i + 1] ?? this.#length) - 1;
      names.push(this.#bytes.slice(this.#starts[i], end));
    }
    return names;
  }
}
