// The commands for images on the command line: saveimg, restimg.

import {
  addArchiveOptions,
  addOutputOptions,
  type RestoreFlags,
  restoreOptions,
  type SaveFlags,
  saveOptions,
} from "./flags.ts";
import type { CommandAdders, Parser } from "./parser.ts";
import { addSnapshotOptions } from "./snapshot.ts";
import { parseTargets } from "./targets.ts";

const example = `
Only the blocks in use are read of ext2, ext3, ext4, xfs and btrfs on one device; of anything else, and where the file system
cannot be relied on, all of them. docs/IMAGES.md tells more.

Examples:
  tsfsa saveimg root.tsfsa /dev/vg/root-snapshot
  tsfsa saveimg --snapshot home.tsfsa /home
  tsfsa saveimg --raw luks.tsfsa /dev/sdb2
`;

export const imageCommands: CommandAdders = { saveimg: addSaveimg, restimg: addRestimg };

function addSaveimg({ program, jobs, take }: Parser): void {
  const saveimg = program
    .command("saveimg")
    .description("save devices block by block, only the blocks in use")
    .argument("<archive>", "file to write, or - for standard output")
    .argument("<source...>", "block device or image file; with --snapshot also a mount point");
  addArchiveOptions(saveimg, jobs());
  addSnapshotOptions(saveimg);
  saveimg.option("--raw", "read all blocks, whatever the file system says").addHelpText("after", example);
  addOutputOptions(saveimg).action(async (archive: string, sources: string[], flags: SaveFlags) => {
    const options = { ...(await saveOptions(archive, sources, flags)), raw: flags.raw === true };
    take(flags, { command: "saveimg", options });
  });
}

function addRestimg({ program, jobs, take }: Parser): void {
  const restimg = program
    .command("restimg")
    .description("write images back to devices or into files")
    .argument("<archive>", "file to read, or - for standard input")
    .argument("<target...>", "id=N,dest=DEVICE|FILE")
    .addOption(jobs())
    .option("--discard", "discard all blocks of a device first (without it, unused ones keep what they hold)")
    .option("-o, --overwrite", "replace what the target holds")
    .option("--dry-run", "show what would be done, write nothing")
    .option("-y, --yes", "do not ask");
  addOutputOptions(restimg).action((archive: string, targets: string[], flags: RestoreFlags) => {
    const { workers, overwrite, dryRun, yes } = restoreOptions(archive, flags);
    const options = {
      archive,
      targets: parseTargets(targets),
      workers,
      overwrite,
      discard: flags.discard === true,
      dryRun,
      yes,
    };
    take(flags, { command: "restimg", options });
  });
}
