// Where the compiled entry of a worker is. Node 20 cannot start a thread from TypeScript, so code that runs from src/ (the tests) starts the
// threads of dist/.

/** `name`: path below src/ without extension, such as `save/worker`. */
export function workerUrl(name: string): URL {
  const base = import.meta.url.endsWith(".ts") ? "../../dist/" : "../";
  return new URL(`${base}${name}.js`, import.meta.url);
}
