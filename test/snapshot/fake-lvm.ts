// lvm2 and dmsetup as a value: volumes of one group, thick or thin snapshots, and what the tools print, as captured on Debian 12 (lvm2 2.03.16).

import { type Answer, failed, FakeTools } from "./fake-tools.ts";

export class FakeLvm extends FakeTools {
  /** Snapshots by name: their tags. */
  readonly snapshots = new Map<string, string[]>();
  readonly isThin: boolean;
  /** Of a snapshot. */
  status: string;
  poolStatus = "0 1228800 thin-pool 2 116/1024 472/9600 - rw discard_passdown queue_if_no_space - 256";
  /** Of the pool: data, metadata. */
  poolPercent: readonly [string, string] = ["4.92", "11.33"];
  freeBytes = 4 * 1024 ** 3;

  constructor(kind: "thick" | "thin" = "thick") {
    super();
    this.isThin = kind === "thin";
    this.status = this.isThin ? "0 819200 thin 60032 819199" : "0 819200 snapshot 9328/204800 48";
  }

  left(): unknown {
    return [...this.snapshots.keys()];
  }

  protected answer(program: string, words: readonly string[]): Answer {
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
        return this.snapshots.delete(name) ? `  Logical volume "${name}" successfully removed.\n` : failed;
      case "lvchange":
        this.snapshots.set(name, [value("--addtag")]);
        return "";
      case "lvextend":
        this.status = this.status.replace("/204800", "/409600");
        return "";
      case "dmsetup":
        if (words[0] === "info") return "Active\n";
        return words[0] === "status" ? `${full.endsWith("-tpool") ? this.poolStatus : this.status}\n` : "";
      default:
        return "";
    }
  }

  #lvs(words: readonly string[]): string {
    const asked = words.slice(words.indexOf("-o") + 2);
    const rows = [
      this.#row("data", this.isThin ? "Vwi-aotz--" : "owi-aos---", "", []),
      ...[...this.snapshots].map(([name, tags]) =>
        this.#row(name, this.isThin ? "Vwi-a-tz--" : "swi-a-s---", "data", tags),
      ),
      ...(this.isThin ? [this.#pool()] : []),
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
      segtype: this.isThin ? "thin" : "linear",
      origin,
      pool_lv: this.isThin ? "pool" : "",
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

  #pool(): Record<string, string> {
    const [data_percent, metadata_percent] = this.poolPercent;
    return {
      ...this.#row("pool", "twi-aotz--", "", []),
      segtype: "thin-pool",
      pool_lv: "",
      data_percent,
      metadata_percent,
    };
  }
}
