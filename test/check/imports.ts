/**
 * The import rule: which room may import which, what may be installed, and where a platform may be named. The table is
 * that of the README; a change here is a change of the architecture.
 */
import { dirname, join, normalize } from "node:path"
import { isBuiltin } from "node:module"
import { parseAst } from "rolldown/parseAst"
import type { Check } from "./problem.ts"
import { files, text } from "./repository.ts"

interface Room {
  /** Other rooms (or parts of rooms) that it may import. */
  readonly rooms: ReadonlyArray<string>
  /** Packages that it may import. */
  readonly packages: ReadonlyArray<string>
}

/** By longest matching prefix. A part that is named here has its own rule instead of its room's. */
const table: Readonly<Record<string, Room>> = {
  "schemas/": { rooms: ["schemas/"], packages: ["effect"] },
  // The host's core loads these, so they load nothing.
  "schemas/error/": { rooms: ["schemas/error/", "schemas/value/"], packages: [] },
  "schemas/value/": { rooms: ["schemas/"], packages: [] },
  "schemas/wit/model.ts": { rooms: ["schemas/"], packages: [] },
  "kernels/": { rooms: ["kernels/", "schemas/"], packages: [] },
  "host/": { rooms: ["host/", "kernels/", "schemas/"], packages: ["effect"] },
  ...Object.fromEntries(
    ["component", "harden", "meter", "link", "abi", "call", "async"].map((part) => [
      `host/${part}/`,
      { rooms: ["host/", "kernels/", "schemas/"], packages: [] },
    ]),
  ),
  "plugins/": { rooms: ["plugins/sdk/", "schemas/wit/"], packages: [] },
  "runtime/": { rooms: ["runtime/", "host/", "plugins/sdk/", "kernels/", "schemas/"], packages: ["effect"] },
  ...Object.fromEntries(
    [
      ["postgres", "@effect/sql-pg"],
      ["pglite", "@electric-sql/pglite"],
      ["s3", "@aws-sdk/client-s3"],
    ].map(([part, driver]) => [
      `runtime/storage/${part}/`,
      { rooms: ["runtime/", "host/", "plugins/sdk/", "kernels/", "schemas/"], packages: ["effect", "@effect/sql-pg", driver as string] },
    ]),
  ),
  // Applications, which have the package as anybody has it.
  "runtime/examples/": { rooms: ["runtime/examples/"], packages: ["stele"] },
  "runtime/http/": { rooms: ["runtime/", "host/", "plugins/sdk/", "kernels/", "schemas/"], packages: ["effect", "hono", "@hono/node-server"] },
  "runtime/author/": {
    rooms: ["runtime/", "host/", "plugins/sdk/", "kernels/", "schemas/"],
    packages: ["effect", "@humanwhocodes/momoa", "spdx-expression-parse", "spdx-license-ids"],
  },
  "runtime/build/": {
    // What it writes into a build is defined once, where it is used; plugins of the house are compiled as an author's are.
    rooms: [
      "runtime/build/",
      "runtime/author/",
      "runtime/plugins/",
      "schemas/",
      "runtime/carried.ts",
      "host/call/watchdog-thread.ts",
      "host/platform/browser.ts",
    ],
    packages: ["@bytecodealliance/jco-transpile", "assemblyscript", "rolldown"],
  },
}

/** Where `node:`, `Deno`, `Bun` and `process` may be named. */
const platformRooms = ["runtime/", "host/platform/"]
const platformGlobals = new Set(["Deno", "Bun", "process", "Buffer", "require", "__dirname"])

interface Named {
  readonly specifier: string
  readonly isType: boolean
  /** Loaded when the code gets there: `import()`. */
  readonly isLate?: boolean
  readonly line: number
}

interface Node {
  readonly type: string
  readonly start: number
  readonly [key: string]: unknown
}

const isNode = (value: unknown): value is Node => typeof value === "object" && value !== null && typeof (value as { type?: unknown }).type === "string"

/** Every node of a syntax tree with its parent, in source order. */
function* walk(node: Node, parent?: Node): Generator<readonly [node: Node, parent: Node | undefined]> {
  yield [node, parent]
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) yield* walk(child, node)
  }
}

const literal = (value: unknown): string | undefined => (isNode(value) && typeof value.value === "string" ? value.value : undefined)

/** What one file imports, statically, dynamically or as a type, and the platform's globals that it names. */
function read(source: string, file: string): { readonly imports: ReadonlyArray<Named>; readonly globals: ReadonlyArray<Named> } {
  // AssemblyScript's decorators stand where TypeScript allows none, so no parser of the latter reads it.
  if (file.endsWith(".as.ts")) {
    const found = [...source.matchAll(/^(?:import|export)\b[^"]*?\bfrom "([^"]+)"/gm)]
    const imports = found.map((match) => ({ specifier: match[1] as string, isType: false, line: source.slice(0, match.index).split("\n").length }))
    return { imports, globals: [] }
  }
  const program = parseAst(source, { lang: file.endsWith(".mjs") ? "js" : "ts" }, file) as unknown as Node
  const lineOf = (node: Node) => source.slice(0, node.start).split("\n").length
  const imports: Array<Named> = []
  const globals: Array<Named> = []
  for (const [node, parent] of walk(program)) {
    const from =
      /^(Import|ExportNamed|ExportAll)Declaration$/.test(node.type) || /^(ImportExpression|TSImportType)$/.test(node.type) ? literal(node.source) : undefined
    if (from !== undefined) {
      const isType = node.importKind === "type" || node.exportKind === "type" || node.type === "TSImportType"
      imports.push({ specifier: from, isType, isLate: node.type === "ImportExpression", line: lineOf(node) })
    }
    const isProperty =
      parent !== undefined && ((parent.type === "MemberExpression" && parent.property === node && parent.computed !== true) || parent.key === node)
    if (node.type === "Identifier" && platformGlobals.has(node.name as string) && !isProperty) {
      globals.push({ specifier: node.name as string, isType: false, line: lineOf(node) })
    }
  }
  return { imports, globals }
}

const packageOf = (specifier: string) => specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/")
const ruleOf = (file: string) =>
  Object.entries(table)
    .filter(([prefix]) => file.startsWith(prefix))
    .sort(([a], [b]) => b.length - a.length)[0]?.[1]

/** The rooms that one room's file may reach: its own list, and for a plugin its own folder. */
function mayReach(file: string, rule: Room, target: string): boolean {
  const own = /^plugins\/[^/]+\//.exec(file)?.[0]
  if (file.startsWith("plugins/") && /^kernels\/.*\.as\.ts$/.test(target)) return true
  return rule.rooms.some((room) => target.startsWith(room)) || (own !== undefined && target.startsWith(own))
}

/** What one file does against the table, and whom it loads at start. */
export function judge(
  file: string,
  source: string,
): { readonly problems: ReadonlyArray<string>; readonly edges: ReadonlyArray<string>; readonly packages: ReadonlyArray<string> } {
  const problems: Array<string> = []
  const edges: Array<string> = []
  const packages: Array<string> = []
  const rule = ruleOf(file)
  const { imports, globals } = read(source, file)
  const isPlatform = platformRooms.some((room) => file.startsWith(room))
  for (const { specifier, isType, isLate, line } of imports) {
    const place = `${file}:${line}`
    if (specifier.startsWith(".")) {
      const isGuest = file.endsWith(".as.ts")
      const target = normalize(join(dirname(file), isGuest ? `${specifier}.ts` : specifier)).replaceAll("\\", "/")
      if (!isGuest && !/\.(ts|mjs|json)$/.test(specifier))
        problems.push(`${place}: Cannot import "${specifier}": a relative import names the file with its extension`)
      if (target.startsWith("test/") && !file.startsWith("test/")) problems.push(`${place}: Cannot import "${target}": nothing imports test`)
      else if (rule !== undefined && !mayReach(file, rule, target))
        problems.push(`${place}: Cannot import "${target}": this room may import ${rule.rooms.join(", ")}`)
      if (!isType && isLate !== true) edges.push(target)
      continue
    }
    if (isBuiltin(specifier) || /^(node|bun|deno|npm|jsr|https?):/.test(specifier)) {
      if (!specifier.startsWith("node:")) problems.push(`${place}: Cannot import "${specifier}": modules of a platform are imported as "node:…"`)
      if (rule !== undefined && !isPlatform)
        problems.push(`${place}: Cannot import "${specifier}": platforms are named under ${platformRooms.join(" and ")} only`)
      continue
    }
    if (specifier === "fast-check" && file !== "test/property.ts")
      problems.push(`${place}: Cannot import "fast-check": properties have the run's seed through "test/property.ts"`)
    if (rule === undefined || /^(wasi|stele|acme):/.test(specifier)) continue
    if (!rule.packages.includes(packageOf(specifier))) {
      problems.push(`${place}: Cannot import "${specifier}": this room may install ${rule.packages.join(", ") || "nothing"}`)
    }
    if (specifier === "effect") problems.push(`${place}: Cannot import "effect": import its submodules, the barrel costs start-up time`)
    if (!isType && isLate !== true) packages.push(packageOf(specifier))
  }
  if (rule !== undefined && !isPlatform) {
    for (const { specifier, line } of globals)
      problems.push(`${file}:${line}: Cannot name "${specifier}": platforms are named under ${platformRooms.join(" and ")} only`)
  }
  return { problems, edges, packages }
}

/** Entries whose start-up time has a figure: nothing that they load may load Effect. */
const effectFree = ["host/mod.ts", "runtime/mod.ts", "runtime/http/client.ts"]

export const imports: Check = {
  name: "imports",
  async run() {
    // Templates and examples are projects of their own: what they import is made in them.
    const sources = (await files()).filter((file) => /\.(ts|mjs)$/.test(file) && !file.endsWith(".d.ts") && !/^plugins\/(templates|examples)\//.test(file))
    const judged = new Map(await Promise.all(sources.map(async (file) => [file, judge(file, await text(file))] as const)))
    const problems = [...judged.values()].flatMap((file) => file.problems)
    for (const entry of effectFree) {
      const cameFrom = new Map<string, string>()
      const pending = judged.has(entry) ? [entry] : []
      for (let file = pending.pop(); file !== undefined; file = pending.pop()) {
        if (judged.get(file)?.packages.includes("effect") === true) {
          const way = [file]
          for (let at = cameFrom.get(file); at !== undefined; at = cameFrom.get(at)) way.unshift(at)
          problems.push(`${entry}: Cannot load Effect at start: it comes by ${way.join(" → ")}`)
        }
        for (const target of judged.get(file)?.edges ?? []) {
          if (target === entry || cameFrom.has(target)) continue
          cameFrom.set(target, file)
          pending.push(target)
        }
      }
    }
    return [...problems, ...(await dependencies())]
  },
}

/** What is installed with the package: Effect, the driver of PostgreSQL (ADR 0010), and what HTTP is served with (ADR 0032). */
const installable = ["effect", "@effect/sql-pg", "hono", "@hono/node-server"]

/** What is installed with the package, and that lockfiles name no host. */
async function dependencies(): Promise<ReadonlyArray<string>> {
  const { dependencies: installed = {} } = JSON.parse(await text("package.json")) as { readonly dependencies?: Record<string, string> }
  const problems = Object.keys(installed)
    .filter((name) => !installable.includes(name))
    .map((name) => `package.json: Cannot depend on "${name}" at run time: a new dependency needs an ADR and a line here`)
  for (const file of ["package-lock.json", "test/package-lock.json", "test/bench/peers/package-lock.json"]) {
    if (/"resolved"|:\/\//.test(await text(file))) problems.push(`${file}: Cannot name a host: run node runtime/build/complete-lock.mjs ${file}`)
  }
  return problems
}
