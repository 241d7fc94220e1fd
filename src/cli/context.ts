// What a command gets from the outside: the presenter as its reporter, the signal that stops it, somebody to ask.

import type { Reporter } from "../model/events.ts";
import type { CommandContext } from "../model/options.ts";
import { ask } from "./confirm.ts";
import type { Host } from "./host.ts";
import { archiveOf, type OutputOptions, type Request } from "./invocation.ts";
import type { Presenter } from "./presenter.ts";

interface CountingReporter extends Reporter {
  readonly warnings: number;
}

export function contextOf(
  request: Request,
  output: OutputOptions,
  presenter: Presenter,
  host: Host,
  signal: AbortSignal,
): CommandContext & { readonly reporter: CountingReporter } {
  let warnings = 0;
  const reporter: CountingReporter = {
    get warnings() {
      return warnings;
    },
    warning(warning) {
      warnings++;
      presenter.warning(warning);
    },
    progress: (progress) => presenter.progress(progress),
    step: (message) => presenter.step(message),
    // Left out where nobody looks: it would be called for every entry.
    ...(output.verbose ? { entry: (path: Uint8Array) => presenter.entry?.(path) } : {}),
  };
  const yes = "yes" in request.options && request.options.yes;
  const canAsk = (): boolean =>
    !output.json && archiveOf(request) !== "-" && host.terminals.stdin && host.terminals.stderr;
  return {
    reporter,
    signal,
    environment: host.environment,
    async confirm(lines, unasked = false) {
      const asking = !yes && canAsk();
      presenter.plan(lines, asking);
      return asking ? await ask("Go on?", host.stdin, host.stderr, signal) : yes || unasked;
    },
  };
}
