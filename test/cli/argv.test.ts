import { describe, expect, it } from "vitest";
import { normaliseArguments } from "../../src/cli/argv.ts";

const commands = new Set(["savefs", "list"]);
const shapes = {
  valued: new Set(["-j", "--jobs", "-L", "--label"]),
  optional: new Map([["--snapshot", "auto"]]),
};

describe("an argv", () => {
  it.each<[what: string, argv: string, normalised: string]>([
    ["keeps options behind the command", "savefs -o A /dev/x", "savefs -o A /dev/x"],
    ["gets options from before the command", "-o -v savefs A /dev/x", "savefs -o -v A /dev/x"],
    ["keeps the value of an option together with it", "-j 4 savefs A b", "savefs -j 4 A b"],
    ["knows a value inside the word", "-j4 --label=list savefs A b", "savefs -j4 --label=list A b"],
    ["knows a value behind other letters", "-oj 4 savefs A b", "savefs -oj 4 A b"],
    ["takes no value for a command", "-L list savefs A b", "savefs -L list A b"],
    ["takes only the first operand for the command", "savefs list b", "savefs list b"],
    ["takes no later word for the command", "nonsense savefs b", "nonsense savefs b"],
    ["keeps `-` an operand", "savefs - -j 2 /dev/x", "savefs - -j 2 /dev/x"],
    ["lets an optional value not swallow an operand", "savefs --snapshot A b", "savefs --snapshot=auto A b"],
    ["keeps an optional value behind =", "savefs --snapshot=lvm A b", "savefs --snapshot=lvm A b"],
    ["is not touched behind --", "savefs A -- --snapshot -j list", "savefs A -- --snapshot -j list"],
    ["lets -- be a value", "savefs -L -- A --snapshot", "savefs -L -- A --snapshot=auto"],
    ["may end in an option that wants a value", "savefs A b -j", "savefs A b -j"],
  ])("%s", (_what, argv, normalised) => {
    expect(normaliseArguments(argv.split(" "), commands, shapes)).toEqual(normalised.split(" "));
  });
});
