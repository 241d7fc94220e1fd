// One run of the program: parse, refuse, run the command, tell how it went, return the exit status. Everything it needs of the process comes in
// as a Host. Invariants: the status is decided here and nowhere else; nothing is written after the last flush.

import { exitStatusOf, TsfsaError } from "../base/errors.ts";
import type { Difference } from "../model/difference.ts";
import type { CommandContext, ListedEntry } from "../model/options.ts";
import type { CommandTable } from "./commands.ts";
import { contextOf } from "./context.ts";
import { describeFailure, type Failure } from "./failure.ts";
import type { Host } from "./host.ts";
import { archiveOf, type Invocation, type Request } from "./invocation.ts";
import { JsonPresenter } from "./json.ts";
import { TextOutput } from "./output.ts";
import type { Presenter, Result, Run } from "./presenter.ts";
import { parseCommandLine } from "./program.ts";
import { ProgressLine } from "./progress.ts";
import { Interruption } from "./signals.ts";
import { Fault, lostStatus, OutputLost, watchProcess } from "./stop.ts";
import { TextPresenter } from "./text.ts";

export async function run(argv: readonly string[], host: Host): Promise<number> {
  const stop = new AbortController();
  const stdout = new TextOutput(
    () => host.stdout,
    (error) => stop.abort(new OutputLost(error)),
  );
  // Losing the log is no reason to lose the backup.
  const stderr = new TextOutput(
    () => host.stderr,
    () => {},
  );
  try {
    const parsed = await parseCommandLine(argv, {
      processors: host.processors,
      columns: () => host.stdout.columns ?? 100,
    });
    if (!("help" in parsed)) {
      refuseTerminals(parsed.request, host);
      return await perform(parsed, host, stop, stdout, stderr);
    }
    stdout.write(parsed.help);
    await stdout.flush();
    return lostStatus(stop.signal, stderr) ?? 0;
  } catch (error) {
    return await refuse(describeFailure(error), argv, host, stdout, stderr);
  }
}

async function perform(
  { request, output }: Invocation,
  host: Host,
  stop: AbortController,
  stdout: TextOutput,
  stderr: TextOutput,
): Promise<number> {
  const shown: Run = {
    ...output,
    command: request.command,
    archive: archiveOf(request),
    dryRun: "dryRun" in request.options && request.options.dryRun,
    ...("form" in request ? { form: request.form } : {}),
  };
  const presenter = output.json
    ? new JsonPresenter(shown, takesStdout(request) ? stderr : stdout, () => host.now())
    : new TextPresenter(shown, stdout, stderr, output.quiet ? undefined : progressLine(host));
  const unwatch = watchProcess(host, presenter, stop);
  stop.signal.addEventListener("abort", () => {
    stdout.hurry();
    stderr.hurry();
  });
  const context = contextOf(request, output, presenter, host, stop.signal);
  const startedMs = host.now();
  let status: number;
  let warnings: number;
  try {
    const result = await execute(request, host.commands, context, presenter, stdout);
    if (stop.signal.reason instanceof Fault) throw stop.signal.reason;
    presenter.finished(result, host.now() - startedMs);
    // A command that was asked to stop and still came to its end is done: the status says what happened.
    ({ status, warnings } = result.outcome);
  } catch (error) {
    status = tellFailure(error, stop.signal, presenter);
    warnings = context.reporter.warnings;
  }
  await presenter.close(status, warnings);
  unwatch();
  const { reason } = stop.signal as { readonly reason: unknown };
  // Now that all is undone: so shells see the signal, and neither a thread in the middle of a long call nor a reader that sleeps is waited for.
  if (reason instanceof Interruption && (status === reason.exitStatus || stdout.abandoned || stderr.abandoned)) {
    host.die(reason.signal);
    return reason.exitStatus;
  }
  return lostStatus(stop.signal, stderr) ?? status;
}

/** Runs the command of the request. */
async function execute(
  request: Request,
  commands: CommandTable,
  context: CommandContext,
  presenter: Presenter,
  stdout: TextOutput,
): Promise<Result> {
  const { command, options } = request;
  const listed = (entry: ListedEntry): void | Promise<void> => {
    context.signal.throwIfAborted();
    return presenter.listed(entry);
  };
  const differs = (difference: Difference): void | Promise<void> => presenter.differs(difference);
  switch (command) {
    case "savefs":
    case "savedir":
      return { command, outcome: await commands[command](options, context) };
    case "saveimg":
      return { command, outcome: await commands.saveimg(options, context) };
    case "restimg":
      return { command, outcome: await commands.restimg(options, context) };
    case "restfs":
      return { command, outcome: await commands.restfs(options, context) };
    case "restdir":
      return { command, outcome: await commands.restdir(options, context) };
    case "extract":
      return { command, outcome: await commands.extract(options, context) };
    case "cat":
      return { command, outcome: await commands.cat(options, context, (bytes) => stdout.writeBytes(bytes)) };
    case "archinfo":
      return { command, outcome: await commands.archinfo(options, context) };
    case "salvage":
      return { command, outcome: await commands.salvage(options, context) };
    case "list":
      return { command, outcome: await commands.list(options, context, listed) };
    case "du":
      return { command, outcome: await commands.du(options, context, (sum) => presenter.summed(sum)) };
    case "diff":
      return { command, outcome: await commands.diff(options, context, differs) };
    case "probe":
      return { command, outcome: await commands.probe(options, context) };
    case "snapshot":
      return { command, outcome: await commands.snapshot(options, context) };
    case "cleanup":
      return { command, outcome: await commands.cleanup(options, context) };
    default:
      return { command, outcome: await commands.verify(options, context, differs) };
  }
}

/** Shows why the command failed, as far as that was not shown yet, and returns the exit status. */
function tellFailure(error: unknown, signal: AbortSignal, presenter: Presenter): number {
  const reason: unknown = signal.reason;
  if (reason instanceof OutputLost) return exitStatusOf(error);
  if (reason instanceof Fault) return 2;
  // What else went wrong while the command undid its work is worth a word.
  const isNews = error !== reason && !(error instanceof Error && error.name === "AbortError");
  const failure = describeFailure(error);
  if (isNews) presenter.failed(failure);
  return reason instanceof Interruption ? reason.exitStatus : failure.exitStatus;
}

/** A command line that cannot be run. */
async function refuse(
  failure: Failure,
  argv: readonly string[],
  host: Host,
  stdout: TextOutput,
  stderr: TextOutput,
): Promise<number> {
  const json = argv.includes("--json");
  const shown: Run = {
    json,
    verbose: argv.includes("-v"),
    quiet: true,
    command: undefined,
    archive: "",
    dryRun: false,
  };
  const presenter = json
    ? new JsonPresenter(shown, stdout, () => host.now())
    : new TextPresenter(shown, stdout, stderr, undefined);
  presenter.failed(failure);
  await presenter.close(failure.exitStatus, 0);
  return failure.exitStatus;
}

function writesArchiveToStdout(request: Request): boolean {
  const { command } = request;
  return (command === "savefs" || command === "savedir" || command === "saveimg") && archiveOf(request) === "-";
}

/** Standard output is for bytes: what there is to say goes to standard error. */
function takesStdout(request: Request): boolean {
  return request.command === "cat" || writesArchiveToStdout(request);
}

function refuseTerminals(request: Request, host: Host): void {
  if (archiveOf(request) !== "-") return;
  if (writesArchiveToStdout(request)) {
    if (host.lacksOutput())
      throw new TsfsaError("USAGE", "expected a pipe or a file for the archive, found standard output closed");
    if (!host.terminals.stdout) return;
    throw new TsfsaError("USAGE", "expected a pipe or a file for the archive, found a terminal as standard output", {
      hints: ["name a file instead of -, or send the output somewhere: tsfsa savefs - SOURCE | ssh HOST 'cat > FILE'"],
    });
  }
  if (!host.terminals.stdin) return;
  throw new TsfsaError("USAGE", "expected an archive on standard input, found a terminal", {
    hints: ["name a file instead of -, or send the archive in: ssh HOST cat FILE | tsfsa list -"],
  });
}

function progressLine(host: Host): ProgressLine | undefined {
  return host.terminals.stderr && host.environment["TERM"] !== "dumb"
    ? new ProgressLine(host.stderr, () => host.now())
    : undefined;
}
