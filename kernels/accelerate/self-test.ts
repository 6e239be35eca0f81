/** Whether a device computes what the table says, on small shapes with fixed numbers: asked before an operation first runs on it. */
import type { Device, DeviceArray } from "./device.ts"
import { type Operand, type Operation, sampleOf, type Shape, shapeOf, type Values } from "./operation.ts"

/** Where results differ, in words; undefined where they are equal, or within `tolerance`. */
export function differenceOf(found: Values, expected: Values, tolerance: number): string | undefined {
  for (let i = 0; i < expected.length; i++) {
    const [value, wanted] = [found[i] as number, expected[i] as number]
    const isSame = Object.is(value, wanted) || (tolerance > 0 && Math.abs(value - wanted) <= tolerance * Math.max(1, Math.abs(wanted)))
    if (!isSame) return `${value} at ${i}, not ${wanted}`
  }
  return undefined
}

async function differenceIn(device: Device, operation: Operation, shape: Shape, operands: ReadonlyArray<Operand>): Promise<string | undefined> {
  const arrays: Array<DeviceArray> = []
  const allocated = (all: ReadonlyArray<Operand>): Record<string, DeviceArray> => {
    const made: Record<string, DeviceArray> = {}
    for (const { length, name, type = "f32" } of all) arrays.push((made[name] = device.allocate(type, length)))
    return made
  }
  try {
    const values = Object.fromEntries(operands.map((operand) => [operand.name, sampleOf(operand)]))
    const [inputs, outputs] = [allocated(operands), allocated(operation.outputs(shape))]
    for (const [name, array] of Object.entries(inputs)) device.copyToDevice(array, values[name] as Values)
    device.dispatch([{ operation, shape, inputs, outputs }])
    const tolerance = device.mode === "bitexact" ? 0 : operation.tolerance
    for (const [name, expected] of Object.entries(operation.reference(values, shape))) {
      const difference = differenceOf(await device.copyFromDevice(outputs[name] as DeviceArray), expected, tolerance)
      if (difference !== undefined) return `"${name}" has ${difference}, for ${JSON.stringify(shape)}`
    }
    return undefined
  } finally {
    for (const array of arrays) array.free()
  }
}

/** The first difference, in words, or undefined. Rejects as the device does. */
export async function selfTest(device: Device, operation: Operation): Promise<string | undefined> {
  let tested = 0
  for (const test of operation.tests) {
    const shape = shapeOf(operation, test)
    if (device.refuse(operation, shape) !== undefined) continue
    const inputs = operation.inputs(shape)
    const required = inputs.filter(({ isOptional }) => isOptional !== true)
    for (const operands of required.length === inputs.length ? [inputs] : [inputs, required]) {
      const difference = await differenceIn(device, operation, shape, operands)
      if (difference !== undefined) return difference
      tested += 1
    }
  }
  return tested === 0 ? "it refuses every shape that it could be tested with" : undefined
}
