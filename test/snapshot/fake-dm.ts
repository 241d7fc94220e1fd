// dmsetup as a value: devices with an active and a loaded table, suspended or not, and what the tool prints, as captured on Debian 12 (dmsetup 1.02.185).
// It refuses what the kernel refuses: removing what another table uses, a name that is taken, a device that is not there.

import type { ToolOptions } from "../../src/filesystem/recreate/tools.ts";
import { type Answer, FakeTools } from "./fake-tools.ts";

interface Device {
  active: string;
  loaded: string | undefined;
  suspended: boolean;
}

export class FakeDm extends FakeTools {
  readonly devices: Map<string, Device>;
  readonly #own: string;

  /** `own`: the device that is there at first. */
  constructor(own = "data") {
    super();
    this.#own = own;
    this.devices = new Map([[own, device("0 819200 linear 254:0 0")]]);
  }

  left(): unknown {
    return [...this.devices].filter(
      ([name, { active, loaded, suspended }]) =>
        name !== this.#own || suspended || loaded !== undefined || active !== "0 819200 linear 254:0 0",
    );
  }

  /** What the guard does (native/src/guard.c). */
  hold(name: string): void {
    this.#get(name).suspended = true;
  }

  release(name: string, keep: boolean): void {
    const held = this.#get(name);
    if (!keep) held.loaded = undefined;
    resume(held);
  }

  protected answer(program: string, words: readonly string[], { input = "" }: ToolOptions): Answer {
    if (program === "lvs") return '{"report":[{"lv":[]}]}';
    if (program !== "dmsetup") return "";
    const [verb = ""] = words;
    if (verb === "version") return "Library version:   1.02.185 (2022-05-18)\nDriver version:    4.47.0\n";
    if (verb === "info") return [...this.devices].map((each) => this.#info(...each)).join("");
    const name = (verb === "rename" ? words[1] : words.at(-1)) ?? "";
    if (verb === "create") return this.#create(name, String(input));
    const found = this.devices.get(name);
    if (found === undefined) return failure("Device does not exist.");
    switch (verb) {
      case "table":
        return `${found.active}\n`;
      case "status":
        return found.active.includes(" snapshot ") ? "0 819200 snapshot 40/204800 16\n" : "0 819200 linear\n";
      case "load":
        found.loaded = String(input).trim();
        return "";
      case "clear":
        found.loaded = undefined;
        return "";
      case "resume":
        resume(found);
        return "";
      case "rename":
        return this.#rename(name, words[2] ?? "");
      case "remove":
        return this.#remove(name);
      default:
        throw new Error(`dmsetup ${verb} is not known here`);
    }
  }

  #info(name: string, { loaded, suspended }: Device): string {
    const users = [...this.devices].filter(([, { active }]) => active.split(" ").includes(`/dev/mapper/${name}`));
    const attributes = `L${loaded === undefined ? "-" : "I"}${suspended ? "s" : "-"}w`;
    return `${name}\t\t${attributes}\t${users.map(([user]) => user).join(",")}\n`;
  }

  #create(name: string, table: string): Answer {
    if (this.devices.has(name))
      return failure(`device-mapper: create ioctl on ${name} failed: Device or resource busy`);
    this.devices.set(name, device(table.trim()));
    return "";
  }

  #rename(from: string, to: string): Answer {
    if (this.devices.has(to)) return failure(`device-mapper: rename ioctl on ${from} failed: Device or resource busy`);
    this.devices.set(to, this.#get(from));
    this.devices.delete(from);
    // The kernel's tables hold numbers: they follow.
    for (const each of this.devices.values()) each.active = each.active.replace(`/${from}`, `/${to}`);
    return "";
  }

  #remove(name: string): Answer {
    const users = [...this.devices.values()].flatMap(({ active, loaded }) => [active, loaded ?? ""]);
    if (users.some((table) => table.split(" ").includes(`/dev/mapper/${name}`)))
      return failure(`device-mapper: remove ioctl on ${name} failed: Device or resource busy`);
    this.devices.delete(name);
    return "";
  }

  #get(name: string): Device {
    const found = this.devices.get(name);
    if (found === undefined) throw new Error(`no device ${name}`);
    return found;
  }
}

function device(active: string): Device {
  return { active, loaded: undefined, suspended: false };
}

function resume(held: Device): void {
  held.active = held.loaded ?? held.active;
  held.loaded = undefined;
  held.suspended = false;
}

function failure(said: string): Answer {
  return { status: 1, stdout: "", stderr: `${said}\nCommand failed.\n` };
}
