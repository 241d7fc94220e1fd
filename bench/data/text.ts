// Text that looks like C source to a compressor: words by Zipf's law, names that repeat within a function, fixed
// phrases, indentation. zstd -3 makes it 4 to 6 times smaller, as it does with the Linux tree.

import { Random } from "./random.ts";

const corpusBytes = 32 * 1024 * 1024;
const keywords =
  "if else for while return static const struct int unsigned long void char goto switch case break".split(" ");
const syllables =
  "ab al at be ca ch cl co da de di dr el en er ex fi fl fo ge gr ha he id in io ir ke la le li lo ma me mi mo na ne no op or pa pe po pr ra re ri ro sa se si sk sp st sy ta te ti to tr un up us va ve wa xe".split(
    " ",
  );

/** Makes slices of text; equal seeds and calls give equal bytes. */
export class SourceText {
  readonly #random: Random;
  readonly #corpus: Buffer;
  readonly #functionStarts: readonly number[];

  constructor(seed: number) {
    this.#random = new Random(seed);
    const { text, starts } = composeCorpus(this.#random);
    this.#corpus = text;
    this.#functionStarts = starts;
  }

  /** `length` bytes of whole functions taken from random places of the corpus; the last one is cut. */
  take(length: number): Buffer {
    const text = Buffer.allocUnsafe(length);
    let filled = 0;
    while (filled < length) {
      const start = this.#functionStarts[this.#random.below(this.#functionStarts.length)] ?? 0;
      const sliceLength = Math.min(length - filled, 400 + this.#random.below(6000));
      filled += this.#corpus.copy(text, filled, start, start + sliceLength);
    }
    return text;
  }
}

/** Functions one after the other, and the offset of each. */
function composeCorpus(random: Random): { text: Buffer; starts: number[] } {
  const words = Array.from({ length: 6000 }, () => makeWord(random));
  const parts: string[] = [];
  const starts: number[] = [];
  for (let bytes = 0; bytes < corpusBytes; bytes += parts.at(-1)?.length ?? 0) {
    starts.push(bytes);
    parts.push(composeFunction(random, words));
  }
  return { text: Buffer.from(parts.join(""), "latin1"), starts };
}

function makeWord(random: Random): string {
  const syllable = () => syllables[random.below(syllables.length)] ?? "";
  const part = () => syllable() + syllable() + (random.uniform() < 0.4 ? syllable() : "");
  return random.uniform() < 0.5 ? `${part()}_${part()}` : part();
}

function composeFunction(random: Random, words: readonly string[]): string {
  const word = () => words[random.zipf(words.length)] ?? "";
  const local = Array.from({ length: 7 }, word);
  const name = () => (random.uniform() < 0.92 ? (local[random.zipf(local.length)] ?? "") : word());
  const keyword = () => keywords[random.zipf(keywords.length)] ?? "";
  const lines = [
    `/* ${word()} ${word()} ${word()} the ${word()} of ${word()} */`,
    `static int ${word()}(struct ${local[0]} *${local[1]})`,
    "{",
  ];
  const count = 4 + random.below(40);
  for (let line = 0; line < count; line++) {
    const indent = "\t".repeat(1 + random.below(3));
    lines.push(indent + composeLine(random.below(8), name, keyword, random));
  }
  return `${lines.join("\n")}\n}\n\n`;
}

function composeLine(kind: number, name: () => string, keyword: () => string, random: Random): string {
  switch (kind) {
    case 0:
      return `if (!${name()}->${name()})`;
    case 1:
      return `${name()}->${name()} = ${name()}(${name()}, ${name()});`;
    case 2:
      return `return ${name()}(${name()});`;
    case 3:
      return `/* ${name()} ${keyword()} ${name()} ${name()} ${keyword()} ${name()} */`;
    case 4:
      return `${name()} |= ${name().toUpperCase()}_${name().toUpperCase()} << ${random.below(32)};`;
    case 5:
      return `${keyword()} ${name()} = 0x${random.below(65_536).toString(16)};`;
    case 6:
      return `dev_err(${name()}->dev, "${name()} ${name()} failed: %d\\n", ret);`;
    default:
      return `goto err_${name()};`;
  }
}
