// Every interface served has the types that components declare: WIT text is made into a component by wasm-tools (jco),
// which imports every function of it, and the host's own decoder and linker compare.
import { readFileSync } from "node:fs"
import t from "tap"
import { grantForms, parseGrant } from "../../host/capability/grant.ts"
import { capabilities, findInterface, isCompatible, loadInterfaces, versionsOf } from "../../host/capability/mod.ts"
import { wasiVersion } from "../../host/capability/io.ts"
import { decodeComponent } from "../../host/component/decode.ts"
import { elaborate } from "../../host/component/elaborate.ts"
import { link } from "../../host/link/link.ts"
import { memoryPorts } from "../../host/port/mod.ts"
import { CapabilityError, type LimitName, limits } from "../../schemas/error/mod.ts"

const { componentEmbed, componentNew } = (await import("@bytecodealliance/jco-transpile/wasm-tools" as string)) as {
  componentEmbed(options: { dummy: true; witSource: string; worldName: string }): Promise<Uint8Array>
  componentNew(module: Uint8Array, adapters: ReadonlyArray<never>): Promise<Uint8Array>
}

const defaults = Object.fromEntries(Object.entries(limits).map(([name, limit]) => [name, limit.default])) as Record<LimitName, number>
const everyGrant = [
  "log",
  "clock:wall",
  "clock:monotonic",
  "random",
  "config:*",
  "secret:*",
  "kv:read:*",
  "kv:write:*",
  "blob:read:*",
  "blob:write:*",
  "event:publish:*",
  "event:subscribe:*",
  "kernel:*",
]
/** Every interface served, with its capability; those loaded later as well. */
const served = (
  await Promise.all(
    capabilities.map(async (capability) => {
      const later = capability.later?.names.map((name) => ({ interface: name })) ?? []
      await loadInterfaces(later)
      const loaded = new Set(await capability.later?.load())
      return [...capability.interfaces, ...loaded].map((of) => ({ capability, of }))
    }),
  )
).flat()
const local = (name: string): string => readFileSync(new URL(`../../schemas/wit/wasi/${name}.wit`, import.meta.url), "utf8")
const stele = (name: string): string => readFileSync(new URL(`../../schemas/wit/stele/${name}.wit`, import.meta.url), "utf8")
const wasi = (name: string): string =>
  readFileSync(
    new URL(import.meta.resolve("@bytecodealliance/jco/component").replace(/dist\/[^/]*$/, `lib/wit/builtin/${wasiVersion}/wasi-${name}/package.wit`)),
    "utf8",
  )

/** A file's package as a nested package, at another version where one is given. */
function nested(text: string, version?: string): string {
  const header = /^package ([^;@]+)(@[^;]+)?;$/m.exec(text) as RegExpExecArray
  const [whole, name, own] = header as unknown as [string, string, string | undefined]
  const body = text.replace(whole, "")
  const named = version === undefined ? `${name}${own ?? ""}` : `${name}${version === "" ? "" : `@${version}`}`
  return `package ${named} {\n${version === undefined ? body : body.replaceAll(`@${wasiVersion}`, `@${version}`)}\n}\n`
}

interface Subject {
  readonly imports: ReadonlyArray<string>
  readonly packages: ReadonlyArray<string>
}

async function componentOf({ imports, packages }: Subject): Promise<Uint8Array> {
  const world = `package test:all;\nworld all {\n${imports.map((name) => `  import ${name};\n`).join("")}}\n`
  return componentNew(await componentEmbed({ dummy: true, witSource: world + packages.join(""), worldName: "all" }), [])
}

const blueprintOf = async (subject: Subject) => elaborate(decodeComponent(await componentOf(subject), defaults), defaults)
const linkAll = async (subject: Subject) =>
  link(await blueprintOf(subject), { ports: memoryPorts(), grants: everyGrant.map(parseGrant), provided: {}, missing: "refuse" })

/** Of WASI 0.2 what this test has the text of. */
const packages = /^wasi:(?:io|clocks|random|filesystem|cli)\//

/** WASI 0.2 imports at one version. */
const wasiSubject = (version: string): Subject => ({
  imports: served.filter(({ of }) => of.version === wasiVersion && packages.test(of.name)).map(({ of }) => `${of.name}@${version}`),
  packages: ["io", "clocks", "random", "filesystem"]
    .map((name) => nested(wasi(name), version))
    .concat(
      // Of wasi:cli only what imports nothing beyond these packages: `include wasi:sockets` is not of this test.
      nested(wasi("cli").replace(/^world [^{]*\{[^}]*\}/gm, ""), version),
    ),
})
const drafts: Subject = {
  imports: [
    "wasi:logging/logging@0.1.0-draft",
    "wasi:config/store@0.2.0-draft",
    "wasi:config/runtime@0.2.0-draft",
    "wasi:config/store@0.2.0-rc.1",
    ...["draft", "draft2"].flatMap((d) => ["store", "atomics", "batch"].map((i) => `wasi:keyvalue/${i}@0.2.0-${d}`)),
    ...["types", "container", "blobstore"].map((i) => `wasi:blobstore/${i}@0.2.0-draft`),
    "stele:secret/store@0.1.0",
    "stele:event/bus@0.1.0",
    "stele:kernel/compute@0.1.0",
  ],
  packages: [
    ...["logging", "config", "config-rc", "keyvalue-draft", "keyvalue-draft2", "blobstore"].map((name) => nested(local(name))),
    nested(wasi("io"), "0.2.2"),
    nested(stele("secret")),
    nested(stele("event")),
    nested(stele("kernel")),
  ],
}
const unversioned: Subject = { imports: ["wasi:logging/logging"], packages: [nested(local("logging"), "")] }

t.test("`link()` accepts every WASI 0.2 interface at its types when a component imports any 0.2 version", async (t) => {
  for (const version of ["0.2.0", "0.2.3", "0.2.6", "0.2.10", wasiVersion]) {
    const linked = await linkAll(wasiSubject(version))
    t.ok(
      [...linked.report].every((r) => r.status === "granted" || r.status === "inert"),
      version,
    )
  }
})

t.test("`link()` accepts every draft and stele interface at its types", async (t) => {
  for (const subject of [drafts, unversioned]) t.ok((await linkAll(subject)).report.every((r) => r.status === "granted" || r.status === "inert"))
})

t.test("`capabilities` serve exactly the functions that the WIT text declares", async (t) => {
  const declared = new Set<string>()
  for (const subject of [wasiSubject(wasiVersion), drafts, unversioned])
    for (const spec of (await blueprintOf(subject)).imports) declared.add(`${spec.interface}#${spec.name}`)
  const functions = served
    .filter(({ of }) => !/^wasi:(?:http|sockets)/.test(of.name))
    .flatMap(({ of }) => [...of.functions.keys()].map((f) => `${of.name}${of.version === undefined ? "" : `@${of.version}`}#${f}`))
  // The blobstore text uses wasi:io 0.2.2, the same functions as at the newest version.
  const seen = [...declared].filter((name) => !/^wasi:io\/\w+@0\.2\.2#/.test(name)).sort()
  t.same([...new Set(functions)].sort(), seen)
  t.equal(seen.length, 131)
})

t.test("`capabilities` serve every resource that the WIT text declares", async (t) => {
  for (const subject of [wasiSubject(wasiVersion), drafts])
    for (const { interface: of, name } of (await blueprintOf(subject)).resourceImports) {
      const [plain, version] = (of as string).split("@") as [string, string]
      t.ok(findInterface(plain, version)?.interface.resources.has(name), `${of}#${name}`)
    }
})

t.test("`link()` refuses an interface with one type changed", async (t) => {
  const changed: Subject = {
    imports: ["wasi:keyvalue/atomics@0.2.0-draft"],
    packages: [nested(local("keyvalue-draft").replace("delta: u64", "delta: s64"))],
  }
  const refused = await linkAll(changed).then(
    () => undefined,
    (error: unknown) => error,
  )
  t.match(refused, { code: "STELE-CAP-0005", reason: { _tag: "TypeMismatch", import: "wasi:keyvalue/atomics@0.2.0-draft#increment" } })
})

t.test("`link()` names the least grant when an interface is imported without one", async (t) => {
  const cases: ReadonlyArray<readonly [string, string, string]> = [
    ["wasi:clocks/wall-clock@0.2.0", "clock:wall", "clocks"],
    ["wasi:clocks/monotonic-clock@0.2.0", "clock:monotonic", "clocks"],
    ["wasi:random/insecure-seed@0.2.0", "random", "random"],
  ]
  for (const [name, grant, text] of cases) {
    const blueprint = await blueprintOf({ imports: [name], packages: [nested(wasi("io"), "0.2.0"), nested(wasi(text), "0.2.0")] })
    try {
      link(blueprint, { ports: memoryPorts(), grants: [], provided: {}, missing: "refuse" })
      t.fail(name)
    } catch (error) {
      t.match(error, { reason: { _tag: "Missing", import: name, grant } })
    }
  }
})

t.test("`link()` links the inert set without any grant, and nothing else", async (t) => {
  const granted = served.flatMap(({ capability: c, of }) => (c.isInert || c.isInertUngranted === true ? [] : [of.name]))
  for (const name of granted) t.notOk(findInterface(name, versionsOf(name)[0] === "" ? undefined : versionsOf(name)[0])?.capability.isInert, name)
  const inert = wasiSubject("0.2.0")
  const imports = inert.imports.filter((name) => !granted.includes(name.split("@")[0] as string))
  const blueprint = await blueprintOf({ ...inert, imports })
  // A world that names the file types imports the wall clock's, and a dummy of it all its functions.
  const linked = link(blueprint, { ports: memoryPorts(), grants: [parseGrant("clock:wall")], provided: {}, missing: "refuse" })
  t.same(
    linked.report.filter((r) => r.status !== "inert").map((r) => r.name),
    ["wasi:clocks/wall-clock@0.2.0"],
  )
  t.ok(linked.report.length >= 14)
  t.ok(linked.report.some((r) => r.name.startsWith("wasi:filesystem/types")))
})

t.test("`link()` refuses an asynchronous port for a guest that cannot wait", async (t) => {
  const blueprint = await blueprintOf({ imports: ["wasi:config/store@0.2.0-draft"], packages: [nested(local("config"))] })
  const ports = memoryPorts({ config: { isAsync: true, get: () => Promise.resolve(undefined), list: () => Promise.resolve([]) } })
  try {
    link(blueprint, { ports, grants: [parseGrant("config:*")], provided: {}, missing: "refuse" })
    t.fail("linked")
  } catch (error) {
    t.ok(error instanceof CapabilityError)
    t.match(error, { code: "STELE-CAP-0006" })
  }
})

t.test("`isCompatible()` follows semver tracks and keeps pre-releases to themselves", async (t) => {
  for (const [wanted, offered, expected] of [
    ["0.2.0", "0.2.12", true],
    ["0.2.99", "0.2.12", true],
    ["0.3.0", "0.2.12", false],
    ["1.0.0", "1.9.4", true],
    ["2.0.0", "1.9.4", false],
    ["0.0.1", "0.0.2", false],
    ["0.0.1", "0.0.1", true],
    ["0.2.0-draft", "0.2.0-draft2", false],
    ["0.2.0-draft", "0.2.0-draft", true],
    ["0.2.0-rc.1", "0.2.12", false],
    ["0.2.0+build", "0.2.12", true],
    ["0.2", "0.2.12", false],
    ["", "0.2.12", false],
  ] as const)
    t.equal(isCompatible(wanted, offered), expected, `${wanted} on ${offered}`)
})

t.test("`findInterface()` gives nothing for names, versions and forms that are not served", async (t) => {
  for (const [name, version] of [
    ["wasi:nn/graph", "0.2.0"],
    ["wasi:clocks/wall-clock", undefined],
    ["wasi:clocks/wall-clock", "0.3.0"],
    ["__proto__", undefined],
    ["constructor", "0.2.0"],
    ["", undefined],
  ] as const)
    t.equal(findInterface(name, version), undefined, `${name}@${version}`)
  t.same(versionsOf("wasi:keyvalue/store"), ["0.2.0-draft", "0.2.0-draft2"])
  t.same(versionsOf("wasi:nn/graph"), [])
})

t.test("`capabilities` say what each is, in words", async (t) => {
  const names = capabilities.map((c) => c.name)
  t.same(new Set(names).size, names.length)
  for (const c of capabilities) {
    t.match(c.risk, /\.$/)
    t.equal(c.isInert, c.forms.length === 0)
    for (const form of c.forms) t.ok(grantForms.includes(form))
    for (const i of c.interfaces) {
      if (!c.isInert) t.equal(parseGrant(c.needs(i.name)).capability, c.name, i.name)
      for (const head of c.heads(i.name)) t.ok(head === c.name || head.startsWith(`${c.name}:`))
    }
  }
})
