/** On Deno and Bun: prints the outcome of the operations that are named, or of all; or why there is no adapter. Its first argument is the URL of the package `webgpu`. */
import { webGpuSource } from "../../../runtime/accel/webgpu.ts"
import type { WebGpuDevice } from "../../../kernels/webgpu/device.ts"
import { outcomeOf } from "./outcome.ts"

const [module, ...names] = process.argv.slice(2)
const device = await webGpuSource({ module: module as string, dawn: ["backend=opengl"] }).open()
console.log(JSON.stringify("state" in device ? device : await outcomeOf(device as WebGpuDevice, names.length === 0 ? undefined : names)))
