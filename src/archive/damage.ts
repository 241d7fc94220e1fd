// What a reader found wrong with an archive, collected in order. Damage does not stop a reader; it decides the exit status and what is told.

/** One place where the archive is not what it should be. */
export interface Damage {
  /** Offset in the archive, in bytes. */
  readonly offset: number;
  /** What was expected and what was found there. */
  readonly message: string;
  /** Number of the block that is hit, where it is known. */
  readonly block?: number;
  /** The bytes are whole, and hold what no writer of ours makes. */
  readonly hostile?: boolean;
  /** Nothing that was saved is lost by it: there is a second copy, or it was made again. */
  readonly isHarmless?: boolean;
}

export function isHarmful({ isHarmless = false }: Damage): boolean {
  return !isHarmless;
}
