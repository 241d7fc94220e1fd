// The CLI where an ordinary user can reach it: a checkout below a private folder (root's home) is shown again through a bind
// mount that goes with this process.

import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { run } from "./run.ts";

const shown = new Map<string, string>();

/** `file` as user `uid` can name it; `folder` is what has to be visible with it (the checkout, the folder of node). */
export async function publicPath(file: string, folder: string, uid: number): Promise<string> {
  const { status } = await run(["test", "-r", file], { uid });
  if (status === 0) return file;
  let place = shown.get(folder);
  if (place === undefined) {
    place = mkdtempSync(join(tmpdir(), "tsfsa-public-"));
    chmodSync(place, 0o755);
    execFileSync("mount", ["--bind", folder, place]);
    shown.set(folder, place);
    process.once("exit", () => hide(place as string));
  }
  return join(place, relative(folder, file));
}

/** argv for a user: node and the CLI under names the user can reach. */
export async function publicArgv(argv: readonly string[], checkout: string, uid: number): Promise<string[]> {
  const [node = "", cli = "", ...words] = argv;
  return [await publicPath(node, dirname(node), uid), await publicPath(cli, checkout, uid), ...words];
}

function hide(place: string): void {
  execFileSync("umount", [place]);
  rmdirSync(place);
}
