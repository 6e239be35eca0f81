/** Functions as modules take them: a number, and up to two parameters. */
import { KernelError } from "../../schemas/error/kernel.ts"
import { type MapName, mapNames, type MapWithName, mapWithNames } from "./math.ts"

const all: ReadonlyArray<MapName | MapWithName> = [...mapNames, ...mapWithNames]

const defaults: Readonly<Record<MapWithName, ReadonlyArray<number>>> = {
  leakyRelu: [0.01],
  elu: [1],
  hardSigmoid: [0.2, 0.5],
  clip: [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
}

/** Of a function that is one of `known`, with what its parameters are where they are not given. @throws KernelError `Unknown`, `Shape` for too many parameters */
export function mapNumber<Name extends MapName | MapWithName>(
  name: Name,
  parameters: ReadonlyArray<number>,
  known: ReadonlyArray<Name>,
): readonly [map: number, a: number, b: number] {
  if (!known.includes(name)) throw new KernelError("Unknown", { what: "function", name, known: known.join(", ") })
  const others = name in defaults ? defaults[name as MapWithName] : []
  if (parameters.length > others.length)
    throw new KernelError("Shape", { kernel: name, operand: "parameters", expected: `at most ${others.length} numbers`, found: `${parameters.length} numbers` })
  const [a = 0, b = 0] = others.map((other, i) => parameters[i] ?? other)
  return [all.indexOf(name), a, b]
}
