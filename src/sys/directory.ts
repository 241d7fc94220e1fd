// Held directories: handles that name a directory by its parent, its name and its identity, and give a descriptor of
// it on demand. Few descriptors are open at a time; a closed one is opened again by walking down from its nearest open
// ancestor, one component at a time, never following a link and never leaving the root, and must be the same directory
// as before. So work below a handle cannot be led elsewhere, at any depth, whatever happens to the tree meanwhile.

import { TsfsaError } from "../base/errors.ts";
import { addon } from "./addon.ts";
import { O_DIRECTORY, O_NOFOLLOW, O_RDONLY, RESOLVE_CONTAINED } from "./constants.ts";
import { ELOOP, ENOTDIR, systemError } from "./errors.ts";
import type { Stat } from "./stat.ts";
import { statDescriptor } from "./stat.ts";

/** Packed device number of a stat: unique per device, below 2^32. */
export function deviceKey(device: Stat["dev"]): number {
  return device.major * 0x100000 + device.minor;
}

export interface DirectoryHandle {
  /** undefined for a root. */
  readonly parent: DirectoryHandle | undefined;
  /** Last component; empty for a root. */
  readonly name: Uint8Array;
  /** deviceKey of the directory. */
  readonly dev: number;
  readonly ino: number | bigint;
  /**
   * A descriptor of the directory, which stays open until the matching release(). Throws IO with errno ESTALE where
   * another object has taken its place, IO or NO_PERMISSION where it cannot be opened, INTERNAL after dispose().
   */
  acquire(): number;
  release(): void;
  /** No more use (but by its descendants, on their way): its descriptor is closed, at once or with the last release(). */
  dispose(): void;
  /** Path below the root, components joined by `/`; empty for a root. */
  path(): Uint8Array;
}

const closed = -1;
const slash = 0x2f;

class Handle implements DirectoryHandle {
  readonly parent: Handle | undefined;
  readonly name: Uint8Array;
  readonly dev: number;
  readonly ino: number | bigint;
  readonly table: DirectoryTable;
  fd: number = closed;
  pins = 0;
  disposed = false;

  constructor(
    table: DirectoryTable,
    parent: Handle | undefined,
    name: Uint8Array,
    identity: Pick<Stat, "dev" | "ino">,
  ) {
    this.table = table;
    this.parent = parent;
    this.name = name;
    this.dev = deviceKey(identity.dev);
    this.ino = identity.ino;
  }

  acquire(): number {
    if (this.disposed) throw new TsfsaError("INTERNAL", "a directory handle was used after its end");
    return this.table.pin(this);
  }

  release(): void {
    this.table.unpin(this);
  }

  dispose(): void {
    this.disposed = true;
    this.table.settle(this);
  }

  path(): Uint8Array {
    return pathOf(this);
  }
}

function pathOf(target: Handle): Uint8Array {
  const names: Uint8Array[] = [];
  for (let handle = target; handle.parent !== undefined; handle = handle.parent) names.push(handle.name);
  const path = new Uint8Array(
    Math.max(
      0,
      names.reduce((sum, name) => sum + name.length + 1, -1),
    ),
  );
  let offset = 0;
  for (const name of names.toReversed()) {
    if (offset > 0) path[offset++] = slash;
    path.set(name, offset);
    offset += name.length;
  }
  return path;
}

/** A capacity for a table: a part of what this process may open. */
export function directoryCapacity(): number {
  return Math.max(8, Math.min(2048, Math.floor(addon().openFileLimit() / 8)));
}

/** All handles of one walk, and the bound on their open descriptors. */
export class DirectoryTable {
  readonly #capacity: number;
  /** Handles with an open descriptor, roots included. */
  readonly #open = new Set<Handle>();
  /** Those of them that nobody has acquired, roots excluded; the least recently used first. */
  readonly #idle = new Set<Handle>();
  /** Roots that are open. */
  #rootCount = 0;
  #ended = false;

  /** At most `capacity` (≥ 1) descriptors stay open besides those of roots, unless more are acquired. */
  constructor(capacity: number) {
    if (!Number.isInteger(capacity) || capacity < 1)
      throw new RangeError("capacity must be a whole number, at least 1");
    this.#capacity = capacity;
  }

  /** A handle of an open directory, which the table now owns and never closes before close() or dispose(). */
  root(fd: number): DirectoryHandle {
    const handle = new Handle(this, undefined, new Uint8Array(0), statDescriptor(fd));
    handle.fd = fd;
    this.#open.add(handle);
    this.#rootCount++;
    return handle;
  }

  /**
   * A handle of the directory `name` (copied) in `parent`, known by its stat. `fd`: its descriptor where it is open, which
   * the table now owns.
   */
  child(
    parent: DirectoryHandle,
    name: Uint8Array,
    fd: number | undefined,
    stat: Pick<Stat, "dev" | "ino">,
  ): DirectoryHandle {
    if (!(parent instanceof Handle) || parent.table !== this)
      throw new TypeError("parent is a handle of another table");
    // A small copy lives in the JavaScript heap and does not hold the buffer it was cut from.
    const handle = new Handle(this, parent, name.slice(), stat);
    if (fd !== undefined) {
      handle.fd = fd;
      this.#open.add(handle);
      this.settle(handle);
    }
    return handle;
  }

  /** Number of descriptors that are open now, roots included. */
  get openCount(): number {
    return this.#open.size;
  }

  /** Closes every descriptor, acquired ones too. No handle can be acquired after it; releases are harmless. */
  close(): void {
    this.#ended = true;
    for (const handle of this.#open) this.#close(handle);
  }

  /** For handles only: opens where needed, and keeps open. */
  pin(handle: Handle): number {
    if (this.#ended) throw new TsfsaError("INTERNAL", "a directory handle was used after its table was closed");
    if (handle.fd === closed) this.#reopen(handle);
    this.#idle.delete(handle);
    handle.pins++;
    this.#evict();
    return handle.fd;
  }

  /** For handles only. */
  unpin(handle: Handle): void {
    if (this.#ended) return;
    if (handle.pins === 0) throw new TsfsaError("INTERNAL", "a directory handle was released more often than acquired");
    handle.pins--;
    this.settle(handle);
  }

  /** For handles only: an open handle that nobody holds becomes idle, or is closed when it is of no more use. */
  settle(handle: Handle): void {
    if (handle.fd === closed || handle.pins > 0) return;
    if (handle.disposed) {
      this.#close(handle);
    } else if (handle.parent !== undefined) {
      this.#idle.add(handle);
      this.#evict();
    }
  }

  #evict(): void {
    for (const handle of this.#idle) {
      if (this.#open.size - this.#rootCount <= this.#capacity) return;
      this.#close(handle);
    }
  }

  /** Opens `handle` and what is closed above it, downwards. Each directory is held while the next one is opened in it. */
  #reopen(handle: Handle): void {
    const chain: Handle[] = [];
    let from = handle;
    while (from.fd === closed) {
      chain.push(from);
      if (from.parent === undefined) throw new TsfsaError("INTERNAL", "the root of a directory handle is closed");
      from = from.parent;
    }
    for (const next of chain.toReversed()) {
      this.pin(from);
      try {
        next.fd = openSame(from.fd, next);
        this.#open.add(next);
      } finally {
        this.unpin(from);
      }
      from = next;
    }
  }

  #close(handle: Handle): void {
    addon().close(handle.fd);
    handle.fd = closed;
    handle.pins = 0;
    this.#open.delete(handle);
    this.#idle.delete(handle);
    if (handle.parent === undefined) this.#rootCount--;
  }
}

/** Opens the directory in its parent and proves that it is the one known. */
function openSame(parentFd: number, handle: Handle): number {
  const fd = addon().openAt(parentFd, handle.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_CONTAINED);
  if (fd === -ELOOP || fd === -ENOTDIR) throw replaced(handle);
  if (fd < 0) throw systemError(-fd, "openat2", handle.path());
  try {
    const stat = statDescriptor(fd);
    if (deviceKey(stat.dev) !== handle.dev || stat.ino !== handle.ino) throw replaced(handle);
    return fd;
  } catch (error) {
    addon().close(fd);
    throw error;
  }
}

function replaced(handle: Handle): TsfsaError {
  return new TsfsaError("IO", "directory was replaced by another object while it was in use", {
    errno: "ESTALE",
    path: handle.path(),
  });
}
