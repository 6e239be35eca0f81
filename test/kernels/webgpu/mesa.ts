/** A real run of shaders where there is no graphics card: Mesa's llvmpipe through dawn's backend of OpenGL, without a display. */
import { webGpuSource } from "../../../runtime/accel/webgpu.ts"
import type { WebGpuDevice } from "../../../kernels/webgpu/device.ts"

// Mesa reads it when it is loaded.
process.env["EGL_PLATFORM"] ??= "surfaceless"
// No driver of Vulkan is found: that of a machine that has one is not what these tests are about.
process.env["VK_DRIVER_FILES"] = process.env["VK_ICD_FILENAMES"] = "/nowhere/driver.json"

export const module = import.meta.resolve("webgpu")
export const dawn = ["backend=opengl"]

/** A device, or why there is none. */
export async function openMesa(options: { readonly bytesMax?: number } = {}): Promise<WebGpuDevice | string> {
  const found = await webGpuSource({ dawn, module, ...options }).open()
  return "state" in found ? found.reason : (found as WebGpuDevice)
}

/** For `skip` of tests that need an adapter. */
export const skip: string | false = await (async () => {
  const device = await openMesa()
  if (typeof device === "string") return `no adapter: ${device}`
  await device.close()
  return false
})()

/** Whether dawn's native module runs here, with an adapter or without. */
export const isLoaded = skip === false || !skip.includes("the package webgpu")
