// Real database servers of the distribution, each with a data directory and socket of its own, and a client that books transactions one after the other
// and remembers when each was acknowledged. Nothing of the system's own servers is touched.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { must, run } from "./run.ts";

/** A transaction that the server acknowledged, and when (milliseconds since 1970). */
export interface Acknowledged {
  readonly id: number;
  readonly at: number;
}

/** What a server holds: transactions are numbered from 1 and each moves money between two accounts. */
export interface Books {
  /** Ids of each table of transactions, ascending. */
  readonly ledgers: readonly (readonly number[])[];
  /** Of all accounts: always 0. */
  readonly sum: number;
}

/** How a kind of server is made, run and asked. */
export interface DatabaseKind {
  readonly name: string;
  readonly user: string;
  readonly initialize: (data: string) => readonly string[];
  readonly server: (data: string, sockets: string) => readonly string[];
  readonly client: (sockets: string) => readonly string[];
  readonly schema: string;
  /** One transaction; its last output is its id. */
  readonly transaction: (id: number) => string;
  readonly books: { readonly ledgers: readonly string[]; readonly sum: string };
}

const accounts = 20;
const accountsOf = (id: number): readonly [number, number] => [id % accounts, (id * 7 + 3) % accounts];
const accountRows = Array.from({ length: accounts }, (_, account) => `(${account}, 0)`).join(", ");

export const postgres: DatabaseKind = {
  name: "PostgreSQL",
  user: "postgres",
  initialize: (data) => [postgresTool("initdb"), "-D", data, "-A", "trust", "-E", "UTF8", "--locale=C"],
  server: (data, sockets) => [
    postgresTool("postgres"),
    "-D",
    data,
    "-k",
    sockets,
    "-h",
    "",
    "-c",
    "shared_buffers=8MB",
    "-c",
    "autovacuum=off",
  ],
  client: (sockets) => ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", sockets, "-U", "postgres"],
  schema: `CREATE TABLE ledger (id int PRIMARY KEY, padding text);
    CREATE TABLE account (id int PRIMARY KEY, balance int); INSERT INTO account VALUES ${accountRows};`,
  transaction: (id) => {
    const [from, to] = accountsOf(id);
    return `BEGIN; UPDATE account SET balance = balance - ${id} WHERE id = ${from};
      INSERT INTO ledger VALUES (${id}, repeat('${id % 10}', 500));
      UPDATE account SET balance = balance + ${id} WHERE id = ${to}; COMMIT; SELECT ${id};`;
  },
  books: { ledgers: ["SELECT id FROM ledger ORDER BY id;"], sum: "SELECT sum(balance) FROM account;" },
};

export const mariadb: DatabaseKind = {
  name: "MariaDB",
  user: "mysql",
  initialize: (data) => [
    "mariadb-install-db",
    "--no-defaults",
    `--datadir=${data}`,
    "--auth-root-authentication-method=normal",
    "--skip-test-db",
  ],
  server: (data, sockets) => [
    "mariadbd",
    "--no-defaults",
    `--datadir=${data}`,
    `--socket=${sockets}/socket`,
    `--pid-file=${sockets}/pid`,
    "--skip-networking",
    "--innodb-buffer-pool-size=16M",
    "--innodb-log-file-size=8M",
  ],
  client: (sockets) => [
    "mariadb",
    "--no-defaults",
    `--socket=${sockets}/socket`,
    "-u",
    "root",
    "--batch",
    "--skip-column-names",
    "--unbuffered",
  ],
  // MyISAM has no log to recover from: only a lock brings its files in order.
  schema: `CREATE DATABASE books; USE books; CREATE TABLE ledger (id int PRIMARY KEY, padding text) ENGINE=InnoDB;
    CREATE TABLE plain (id int PRIMARY KEY, padding text) ENGINE=MyISAM;
    CREATE TABLE account (id int PRIMARY KEY, balance int) ENGINE=InnoDB; INSERT INTO account VALUES ${accountRows};`,
  transaction: (id) => {
    const [from, to] = accountsOf(id);
    return `USE books; INSERT INTO plain VALUES (${id}, repeat('${id % 10}', 500));
      BEGIN; UPDATE account SET balance = balance - ${id} WHERE id = ${from};
      INSERT INTO ledger VALUES (${id}, repeat('${id % 10}', 500));
      UPDATE account SET balance = balance + ${id} WHERE id = ${to}; COMMIT; SELECT ${id};`;
  },
  books: {
    ledgers: ["SELECT id FROM books.ledger ORDER BY id;", "SELECT id FROM books.plain ORDER BY id;"],
    sum: "SELECT sum(balance) FROM books.account;",
  },
};

/** Debian keeps the tools of each version of PostgreSQL apart. */
function postgresTool(name: string): string {
  const versions = existsSync("/usr/lib/postgresql") ? readdirSync("/usr/lib/postgresql") : [];
  return `/usr/lib/postgresql/${versions.toSorted((one, other) => Number(one) - Number(other)).at(-1)}/bin/${name}`;
}

export class DatabaseServer {
  readonly sockets: string;
  readonly #kind: DatabaseKind;
  readonly #child: ChildProcess;
  #said = "";

  private constructor(kind: DatabaseKind, data: string, sockets: string) {
    this.#kind = kind;
    this.sockets = sockets;
    this.#child = spawnAs(kind.user, kind.server(data, sockets));
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        this.#said += chunk.toString();
      });
    }
  }

  /** A new, empty database below `data`, which is made. */
  static async initialize(kind: DatabaseKind, data: string): Promise<void> {
    mkdirSync(data);
    const { uid, gid } = identityOf(kind.user);
    chownSync(data, uid, gid);
    chmodSync(data, 0o700);
    await must(kind.initialize(data), { uid, gid, cwd: "/" });
  }

  /** Starts a server on a data directory, and waits until it has recovered and answers. `sockets`: a folder for it alone. */
  static async start(kind: DatabaseKind, data: string, sockets: string): Promise<DatabaseServer> {
    const { uid, gid } = identityOf(kind.user);
    chownSync(sockets, uid, gid);
    const server = new DatabaseServer(kind, data, sockets);
    for (let wait = 0; ; wait += 1) {
      if ((await run(kind.client(sockets), { input: "SELECT 1;" })).status === 0) return server;
      if (server.#child.exitCode !== null || wait > 300) {
        await server.kill();
        throw new Error(`${kind.name} does not answer on ${data}: ${server.#said.slice(-3000)}`);
      }
      await sleep(200);
    }
  }

  /** What the server has logged so far. */
  get said(): string {
    return this.#said;
  }

  /** Lines of output. */
  async query(sql: string): Promise<string[]> {
    const { stdout } = await must(this.#kind.client(this.sockets), { input: sql });
    return stdout.toString().split("\n").slice(0, -1);
  }

  async books(): Promise<Books> {
    const ledgers: number[][] = [];
    for (const sql of this.#kind.books.ledgers) ledgers.push((await this.query(sql)).map(Number));
    return { ledgers, sum: Number((await this.query(this.#kind.books.sum))[0]) };
  }

  /** As a power cut would: nothing is written out. */
  async kill(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, "exit");
      // PostgreSQL: immediate shutdown, which its other processes hear, too.
      this.#child.kill(this.#kind === postgres ? "SIGQUIT" : "SIGKILL");
      await ended;
    }
  }
}

/** A client that books one transaction after the other. */
export class Bookkeeper {
  readonly acknowledged: Acknowledged[] = [];
  readonly #child: ChildProcess;
  #stopping = false;
  readonly #done: Promise<void>;

  constructor(kind: DatabaseKind, sockets: string) {
    const [program = "", ...words] = kind.client(sockets);
    const child = spawn(program, words, { stdio: ["pipe", "pipe", "inherit"] });
    this.#child = child;
    const send = (id: number): void => {
      child.stdin.write(`${kind.transaction(id).replaceAll("\n", " ")}\n`);
    };
    this.#done = once(child, "close").then(() => undefined);
    createInterface(child.stdout).on("line", (line) => {
      const id = Number(line);
      this.acknowledged.push({ id, at: Date.now() });
      if (this.#stopping) child.stdin.end();
      else send(id + 1);
    });
    child.stdin.on("error", () => undefined);
    send(1);
  }

  /** The last acknowledged id. */
  get last(): number {
    return this.acknowledged.at(-1)?.id ?? 0;
  }

  /** Waits until id n is acknowledged. */
  async reach(id: number): Promise<void> {
    const deadline = Date.now() + 60_000;
    while (this.last < id) {
      if (Date.now() > deadline || this.#child.exitCode !== null) throw new Error(`the client stands at ${this.last}`);
      await sleep(10);
    }
  }

  /** Ends after the transaction that runs. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#done;
  }
}

function spawnAs(user: string, argv: readonly string[]): ChildProcess {
  const [program = "", ...words] = argv;
  return spawn(program, words, { ...identityOf(user), cwd: "/", stdio: ["ignore", "pipe", "pipe"] });
}

function identityOf(user: string): { readonly uid: number; readonly gid: number } {
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((entry) => entry.startsWith(`${user}:`));
  const [, , uid, gid] = line?.split(":") ?? [];
  if (uid === undefined || gid === undefined) throw new Error(`there is no user ${user}`);
  return { uid: Number(uid), gid: Number(gid) };
}

/** The data directory of a server below a mounted file system. */
export function dataOf(mounted: string): string {
  return join(mounted, "data");
}
