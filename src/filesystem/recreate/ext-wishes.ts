// The user's own words for mke2fs. It takes only the last -O and -E, and -J, -N and -m of ours would undo others of theirs, so
// they are sorted out before the command line is made.

export interface ExtWishes {
  /** Edits of the feature list as mke2fs reads them: `name`, `^name`, `none`. */
  readonly features: readonly string[];
  /** Extended options, ready for -E. */
  readonly extended: readonly string[];
  /** All other words, in order. */
  readonly rest: readonly string[];
  /** Options among the rest, such as `-J`. */
  has(option: string): boolean;
}

export function extWishes(words: readonly string[]): ExtWishes {
  const features: string[] = [];
  const extended: string[] = [];
  const rest: string[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] as string;
    const option = word.slice(0, 2);
    if (option !== "-O" && option !== "-E") {
      rest.push(word);
      continue;
    }
    const value = word.length > 2 ? word.slice(2) : (words[(at += 1)] ?? "");
    if (option === "-O") features.push(...value.split(","));
    else extended.push(value);
  }
  return { features, extended, rest, has: (option) => rest.some((word) => word.startsWith(option)) };
}

/** Applies the edits to a feature list. */
export function editFeatures(features: Set<string>, edits: readonly string[]): void {
  for (const edit of edits) {
    if (edit === "none") features.clear();
    else if (edit.startsWith("^")) features.delete(edit.slice(1));
    else if (edit !== "") features.add(edit.replace(/^\+/, ""));
  }
}
