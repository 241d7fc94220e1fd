// lvm2 and dmsetup as a value: volumes of one group, thick snapshots, and what the tools print, as captured on Debian 12 (lvm2 2.03.16). Any call can be
// made to fail before it does anything, or after it has done its work, as a tool that is killed late does.

import type { ToolRunner } from "../../src/filesystem/recreate/tools.ts";

export interface FakeFailure {
  /** Number of the call, from 0. */
  readonly call: number;
  readonly after: boolean;
}

export class FakeLvm {
  readonly calls: string[] = [];
  /** Snapshots by name: their tags. */
  readonly snapshots = new Map<string, string[]>();
  status = "0 819200 snapshot 9328/204800 48";
  freeBytes = 4 * 1024 ** 3;
  failure: FakeFailure | undefined;

  readonly run: ToolRunner = (command) => {
    const words = command.arguments.map(String);
    const number = this.calls.length;
    this.calls.push([command.program, ...words].join(" "));
    const fails = this.failure?.call === number;
    if (fails && this.failure?.after === false) return Promise.resolve(failed);
    const stdout = this.#answer(command.program, words);
    if (fails || stdout === undefined) return Promise.resolve(failed);
    return Promise.resolve({ status: 0, stdout, stderr: "" });
  };

  #answer(program: string, words: readonly string[]): string | undefined {
    const full = words.at(-1) ?? "";
    const name = full.replace(/^vg0\//, "");
    const value = (flag: string): string => words[words.indexOf(flag) + 1] ?? "";
    switch (program) {
      case "lvs":
        return this.#lvs(words);
      case "lvcreate":
        this.snapshots.set(value("-n"), [value("--addtag")]);
        return `  Logical volume "${value("-n")}" created.\n`;
      case "lvremove":
        return this.snapshots.delete(name) ? `  Logical volume "${name}" successfully removed.\n` : undefined;
      case "lvchange":
        this.snapshots.set(name, [value("--addtag")]);
        return "";
      case "lvextend":
        this.status = this.status.replace("/204800", "/409600");
        return "";
      case "dmsetup":
        return words[0] === "info" ? "Active\n" : words[0] === "status" ? `${this.status}\n` : "";
      default:
        return "";
    }
  }

  #lvs(words: readonly string[]): string {
    const asked = words.slice(words.indexOf("-o") + 2);
    const rows = [
      this.#row("data", "owi-aos---", "", []),
      ...[...this.snapshots].map(([name, tags]) => this.#row(name, "swi-a-s---", "data", tags)),
    ];
    const found =
      asked.length === 0 || asked[0] === "vg0"
        ? rows
        : rows.filter((row) =>
            asked.some((each) => each.endsWith(`/${row["lv_name"]}`) || each === "/dev/mapper/vg0-data"),
          );
    return JSON.stringify({ report: [{ lv: asked[0] === "/dev/mapper/vg0-data" ? [rows[0]] : found }] });
  }

  #row(name: string, attributes: string, origin: string, tags: readonly string[]): Record<string, string> {
    return {
      vg_name: "vg0",
      lv_name: name,
      lv_attr: attributes,
      segtype: "linear",
      origin,
      pool_lv: "",
      lv_size: String(400 << 20),
      vg_free: String(this.freeBytes),
      vg_extent_size: String(4 << 20),
      lv_tags: tags.join(","),
      data_percent: origin === "" ? "" : "4.55",
      metadata_percent: "",
      lv_snapshot_invalid: origin === "" ? "unknown" : "",
      lv_dm_path: `/dev/mapper/vg0-${name}`,
    };
  }
}

const failed = { status: 5, stdout: "", stderr: "  made to fail\n" };
