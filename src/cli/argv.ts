// Argv put into the one form that commander reads without surprise. Values are not touched, and nothing behind `--`.
//  - Options may stand before the command, as in fsarchiver: `-o savefs A /dev/x` becomes `savefs -o A /dev/x`.
//  - An option whose value is optional takes it only after `=`: commander would let it swallow the operand that follows.

/** What the option table says of options, over all commands: keys are as typed (`-j`, `--jobs`). */
export interface OptionShapes {
  /** Options that need a value. */
  readonly valued: ReadonlySet<string>;
  /** Long options with an optional value → the value a bare one stands for. */
  readonly optional: ReadonlyMap<string, string>;
}

export function normaliseArguments(
  argv: readonly string[],
  commands: ReadonlySet<string>,
  shapes: OptionShapes,
): string[] {
  const words: string[] = [];
  let command: string | undefined;
  let operandSeen = false;
  let i = 0;
  for (; i < argv.length && argv[i] !== "--"; i++) {
    const word = argv[i] as string;
    if (word.length < 2 || !word.startsWith("-")) {
      if (!operandSeen && commands.has(word)) command = word;
      else words.push(word);
      operandSeen = true;
      continue;
    }
    const preset = shapes.optional.get(word);
    words.push(preset === undefined ? word : `${word}=${preset}`);
    if (takesNextWord(word, shapes.valued) && i + 1 < argv.length) words.push(argv[++i] as string);
  }
  return [...(command === undefined ? [] : [command]), ...words, ...argv.slice(i)];
}

/** True for `--jobs` and `-j`, also behind others as in `-oj`; false where the value is in the word: `--jobs=4`, `-j4`. */
function takesNextWord(word: string, valued: ReadonlySet<string>): boolean {
  if (word.startsWith("--")) return valued.has(word);
  for (let i = 1; i < word.length; i++) {
    if (valued.has(`-${word[i]}`)) return i === word.length - 1;
  }
  return false;
}
