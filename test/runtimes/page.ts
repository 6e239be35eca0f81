/** The smoke, the fixed set of bills and that of kernels in a page: bundled as an application would be, it reports to the server that served it. */
import * as stele from "../../host/mod.ts"
import * as kernels from "../../kernels/mod.ts"
import { bills } from "./bills.ts"
import { kernelBits } from "./kernels.ts"
import { smoke } from "./smoke.ts"

const bytes = async (name: string) => new Uint8Array(await (await fetch(`/${name}.wasm`)).arrayBuffer())
const { crossOriginIsolated: isIsolated } = globalThis as { readonly crossOriginIsolated?: boolean }
const report = (outcome: object): Promise<unknown> => fetch("/outcome", { method: "POST", body: JSON.stringify({ ...outcome, isIsolated }) })

const all = async () => ({ ...(await smoke(stele, bytes)), bills: await bills(stele, await bytes("billing")), kernels: await kernelBits(kernels) })
all().then(report, (error: unknown) => report({ error: error instanceof Error ? error.stack : String(error) }))
