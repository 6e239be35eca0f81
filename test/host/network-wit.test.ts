// The interfaces of the network have the types that components declare: WIT text is made into a component by wasm-tools
// (jco), which imports every function of it, and the host's own decoder and linker compare.
import { readFileSync } from "node:fs"
import t from "tap"
import { parseGrant } from "../../host/capability/grant.ts"
import { findInterface, loadInterfaces } from "../../host/capability/mod.ts"
import { wasiVersion } from "../../host/capability/io.ts"
import { decodeComponent } from "../../host/component/decode.ts"
import { elaborate } from "../../host/component/elaborate.ts"
import { link } from "../../host/link/link.ts"
import { memoryHttp, memoryPorts } from "../../host/port/mod.ts"
import { type LimitName, limits } from "../../schemas/error/mod.ts"

const { componentEmbed, componentNew } = (await import("@bytecodealliance/jco-transpile/wasm-tools" as string)) as {
  componentEmbed(options: { dummy: true; witSource: string; worldName: string }): Promise<Uint8Array>
  componentNew(module: Uint8Array, adapters: ReadonlyArray<never>): Promise<Uint8Array>
}
const defaults = Object.fromEntries(Object.entries(limits).map(([name, limit]) => [name, limit.default])) as Record<LimitName, number>

/** A WASI package as a nested one, at a version. */
function nested(name: string, version: string): string {
  const path = import.meta.resolve("@bytecodealliance/jco/component").replace(/dist\/[^/]*$/, `lib/wit/builtin/${wasiVersion}/wasi-${name}/package.wit`)
  const text = readFileSync(new URL(path), "utf8").replace(/^world [^{]*\{[^}]*\}/gm, "")
  const [header, called] = /^package ([^;@]+)(?:@[^;]+)?;$/m.exec(text) as unknown as [string, string]
  return `package ${called}@${version} {\n${text.replace(header, "").replaceAll(`@${wasiVersion}`, `@${version}`)}\n}\n`
}

const names = [
  "wasi:http/types",
  "wasi:http/outgoing-handler",
  ...["network", "instance-network", "ip-name-lookup", "tcp", "tcp-create-socket", "udp", "udp-create-socket"].map((name) => `wasi:sockets/${name}`),
]

async function blueprintOf(version: string, imports = names) {
  const world = `package test:all;\nworld all {\n${imports.map((name) => `  import ${name}@${version};\n`).join("")}}\n`
  const packages = ["io", "clocks", "http", "sockets"].map((name) => nested(name, version)).join("")
  const bytes = await componentNew(await componentEmbed({ dummy: true, witSource: world + packages, worldName: "all" }), [])
  return elaborate(decodeComponent(bytes, defaults), defaults)
}

for (const version of ["0.2.0", "0.2.6", wasiVersion]) {
  t.test(`\`link()\` takes every function of wasi:http and wasi:sockets ${version}`, async (t) => {
    const blueprint = await blueprintOf(version)
    await loadInterfaces(blueprint.imports)
    const { report } = link(blueprint, {
      ports: memoryPorts(),
      grants: ["http:*:*", "tcp:connect:*", "clock:monotonic"].map(parseGrant),
      provided: {},
      missing: "refuse",
    })
    const statusOf = (name: string) => report.find((one) => one.name === `${name}@${version}`)?.status
    t.equal(statusOf("wasi:http/types"), "inert")
    t.equal(statusOf("wasi:http/outgoing-handler"), "granted")
    t.equal(statusOf("wasi:sockets/tcp"), "granted")
    // What the host serves beyond what this version's text has would never be asked for: there is nothing such.
    if (version === wasiVersion)
      for (const name of names) {
        const imported = new Set(blueprint.imports.filter((one) => one.interface === `${name}@${version}`).map((one) => one.name))
        for (const label of findInterface(name, version)?.interface.functions.keys() ?? []) t.ok(imported.has(label), `${name}#${label}`)
      }
  })
}

t.test("`link()` refuses requests without a grant, and links types and sockets without one", async (t) => {
  const blueprint = await blueprintOf(wasiVersion)
  const ungranted = { ports: memoryPorts(), grants: [parseGrant("clock:monotonic")], provided: {} }
  t.throws(() => link(blueprint, { ...ungranted, missing: "refuse" }), { code: "STELE-CAP-0003", reason: { grant: "http:*:*", needed: ["http:*:*"] } })
  const { report } = link(blueprint, { ...ungranted, missing: "trap" })
  t.same(
    names.map((name) => report.find((one) => one.name === `${name}@${wasiVersion}`)?.status).filter((status) => status !== undefined),
    ["inert", "missing", ...Array.from({ length: 7 }, () => "inert")],
  )
})

t.test("a network that cannot see addresses says so in the risk of its grants", async (t) => {
  const blueprint = await blueprintOf(wasiVersion)
  const options = { grants: ["http:*:*", "clock:monotonic"].map(parseGrant), provided: {}, missing: "refuse" } as const
  const riskIn = (http: ReturnType<typeof memoryHttp>): string | undefined =>
    link(blueprint, { ...options, ports: memoryPorts({ http }) }).report.find(({ name }) => name.startsWith("wasi:http/outgoing-handler"))?.risk
  t.notMatch(riskIn(memoryHttp()), /not checked/)
  t.match(riskIn({ ...memoryHttp(), isGuarded: false }), /Addresses are not checked here/)
})
