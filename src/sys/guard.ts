// File systems held still by a process of its own (native/src/guard.c): frozen, read-only or suspended, and given back when asked, when the time
// is over, or when this process is gone.

import { Socket } from "node:net";
import { TsfsaError } from "../base/errors.ts";
import { addon } from "./addon.ts";
import { check, errnoMessage, errnoName, systemError } from "./errors.ts";

/** `fd`: a directory of the file system (for `suspend`: written out beforehand). `name`: of a device-mapper device. */
export type GuardItem =
  | { readonly kind: "freeze" | "read-only"; readonly fd: number; readonly label: string }
  | { readonly kind: "suspend"; readonly fd: number; readonly name: string; readonly label: string };

export interface GuardEnd {
  /** `asked`: by release(). `expired`: the time was over. `lost`: the guard itself was killed. */
  readonly reason: "asked" | "expired" | "lost";
  /** From the moment all were held to the moment all were given back. */
  readonly heldMs: number;
  /** Labels of what was not held any more when it was to be given back, with the kernel's word. */
  readonly failures: readonly string[];
}

const kinds = ["freeze", "read-only", "suspend"] as const;
const messageBytes = 24;
const [heldEvent, failedEvent, releasedEvent, doneEvent] = [1, 2, 3, 4];
const reasons = ["asked", "expired", "asked"] as const;

/** All of the items, held. */
export class Guard {
  /** Descriptor of the socket: a tool that is given it as standard input keeps the guard waiting until it has ended. */
  readonly fd: number;
  /** When all were held, milliseconds since 1970. */
  heldAtMs = 0;
  /** Resolves once, when everything was given back, whoever asked for it. */
  readonly ended: Promise<GuardEnd>;
  readonly #socket: Socket;
  readonly #items: readonly GuardItem[];
  #end: GuardEnd | undefined;

  private constructor(fd: number, items: readonly GuardItem[], held: (error?: Error) => void) {
    this.fd = fd;
    this.#items = items;
    this.#socket = new Socket({ fd, readable: true, writable: true });
    const failures: string[] = [];
    let pending = Buffer.alloc(0);
    this.ended = new Promise((resolve) => {
      const end = (reason: GuardEnd["reason"], atMs: number): void => {
        if (this.#end !== undefined) return;
        this.#end = { reason, heldMs: this.heldAtMs === 0 ? 0 : Math.max(0, atMs - this.heldAtMs), failures };
        this.#socket.destroy();
        resolve(this.#end);
      };
      this.#socket.on("data", (bytes: Buffer) => {
        pending = Buffer.concat([pending, bytes]);
        for (; pending.length >= messageBytes; pending = pending.subarray(messageBytes)) {
          const event = pending.readUInt32LE(0);
          const subject = pending.readUInt32LE(4);
          const errno = pending.readInt32LE(8);
          const atMs = Number(pending.readBigUInt64LE(16)) / 1e6;
          const label = items[subject]?.label ?? "";
          if (event === heldEvent) {
            this.heldAtMs = atMs;
            held();
          } else if (event === failedEvent) {
            const error = systemError(errno, items[subject]?.kind ?? "hold", label);
            end("asked", atMs);
            held(error);
          } else if (event === releasedEvent) {
            if (errno !== 0) failures.push(`${label}: ${errnoMessage(errno)} (${errnoName(errno)})`);
          } else if (event === doneEvent) {
            end(reasons[subject] ?? "lost", atMs);
          }
        }
      });
      this.#socket.on("error", () => undefined); // the end tells
      this.#socket.on("close", () => {
        if (this.#end !== undefined) return;
        this.#thawMyself();
        end("lost", Date.now());
        held(new TsfsaError("INTERNAL", "the process that guards the frozen file systems was killed"));
      });
    });
  }

  /**
   * Takes hold of all items, in order; when one fails those before it are given back. timeoutMs 0: for as long as this process lives. Throws IO
   * with the errno: EBUSY for a file system that is frozen already or (read-only) has files open for writing, EOPNOTSUPP where it cannot be frozen.
   */
  static async hold(items: readonly GuardItem[], timeoutMs: number): Promise<Guard> {
    const fd = check(
      addon().startGuard(
        Int32Array.from(items, ({ kind }) => kinds.indexOf(kind)),
        Int32Array.from(items, (item) => item.fd),
        items.map((item) => (item.kind === "suspend" ? item.name : "")),
        timeoutMs,
      ),
      "starting the guard",
    );
    let guard: Guard | undefined;
    await new Promise<void>((resolve, reject) => {
      guard = new Guard(fd, items, (error) => (error === undefined ? resolve() : reject(error)));
    });
    return guard as Guard;
  }

  /** All was given back. */
  get isOver(): boolean {
    return this.#end !== undefined;
  }

  /** `keep`: tables that were loaded into suspended devices become active; else they are dropped. May be called again. */
  async release(keep: boolean): Promise<GuardEnd> {
    if (this.#end === undefined && !this.#socket.destroyed) this.#socket.write(keep ? "k" : "u");
    return this.ended;
  }

  #thawMyself(): void {
    for (const item of this.#items) if (item.kind === "freeze") addon().thaw(item.fd);
  }
}
