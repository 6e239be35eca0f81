/** `program.ts DIST`: the smoke, the fixed set of bills and that of kernels against the built package in DIST, on the engine that runs this. */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { argv } from "node:process"
import { pathToFileURL } from "node:url"
import type * as KernelsModule from "../../kernels/mod.ts"
import { bills } from "./bills.ts"
import { kernelBits } from "./kernels.ts"
import { smoke, type Stele } from "./smoke.ts"

const dist = argv[2] as string
const stele = (await import(pathToFileURL(join(dist, "host.js")).href)) as Stele
const outcome = await smoke(stele, async (name) => new Uint8Array(await readFile(join(dist, "examples", name, `${name}.wasm`))))
const rules = new Uint8Array(await readFile(join(dist, "plugins/billing.wasm")))
const kernels = (await import(pathToFileURL(join(dist, "kernels.js")).href)) as typeof KernelsModule
console.log(JSON.stringify({ ...outcome, bills: await bills(stele, rules), kernels: await kernelBits(kernels) }))
