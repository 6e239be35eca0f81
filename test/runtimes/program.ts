/** `program.ts DIST`: the smoke and the fixed set of bills against the built package in DIST, on the engine that runs this. */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { argv } from "node:process"
import { pathToFileURL } from "node:url"
import { bills } from "./bills.ts"
import { smoke, type Stele } from "./smoke.ts"

const dist = argv[2] as string
const stele = (await import(pathToFileURL(join(dist, "host.js")).href)) as Stele
const outcome = await smoke(stele, async (name) => new Uint8Array(await readFile(join(dist, "examples", name, `${name}.wasm`))))
console.log(JSON.stringify({ ...outcome, bills: await bills(stele, new Uint8Array(await readFile(join(dist, "plugins/billing.wasm")))) }))
