// A value of several words, such as the options for mkfs, cut at blanks. Quotes keep blanks together as in the shell; nothing is expanded.

import { TsfsaError } from "../base/errors.ts";

/** `-O ^metadata_csum -L 'my disk'` → 4 words. Throws USAGE for a quote that is not closed. */
export function splitWords(text: string, what: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote: string | undefined;
  for (const character of text) {
    if (quote !== undefined) {
      if (character === quote) quote = undefined;
      else word += character;
    } else if (character === "'" || character === '"') {
      quote = character;
      word ??= "";
    } else if (character === " " || character === "\t" || character === "\n") {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      word = (word ?? "") + character;
    }
  }
  if (quote !== undefined) throw new TsfsaError("USAGE", `${what}: the quote ${quote} is not closed`);
  if (word !== undefined) words.push(word);
  return words;
}
