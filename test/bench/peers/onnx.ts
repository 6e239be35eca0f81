/** An ONNX model of one node, as the bytes of its protocol buffer (onnx.proto, IR version 8, operators of version 17). */

const varint = (n: number): ReadonlyArray<number> => (n > 127 ? [(n & 127) | 128, ...varint(n >>> 7)] : [n])
const whole = (field: number, n: number): ReadonlyArray<number> => [...varint(field << 3), ...varint(n)]
const message = (field: number, bytes: ReadonlyArray<number>): ReadonlyArray<number> => [...varint((field << 3) | 2), ...varint(bytes.length), ...bytes]
const text = (field: number, of: string): ReadonlyArray<number> => message(field, [...new TextEncoder().encode(of)])

type Dimensions = ReadonlyArray<number>

/** `TensorProto.DataType`. */
const types = { float: 1, uint8: 2, int32: 6 } as const
type Type = keyof typeof types

/** `ValueInfoProto`. */
const value = (name: string, dimensions: Dimensions, type: Type): ReadonlyArray<number> => [
  ...text(1, name),
  ...message(
    2,
    message(1, [
      ...whole(1, types[type]),
      ...message(
        2,
        dimensions.flatMap((n) => message(1, whole(1, n))),
      ),
    ]),
  ),
]

/** `AttributeProto` of whole numbers. */
const attribute = ([name, numbers]: readonly [string, Dimensions]): ReadonlyArray<number> =>
  message(5, [...text(1, name), ...numbers.flatMap((n) => whole(8, n)), ...whole(20, 7)])

/** Its output is called `out`. */
export function onnxModel(
  operator: string,
  inputs: Readonly<Record<string, Dimensions>>,
  output: Dimensions,
  attributes: Readonly<Record<string, Dimensions>> = {},
  of: { readonly input: Type; readonly output: Type } = { input: "float", output: "float" },
): Uint8Array {
  const node = [
    ...Object.keys(inputs).flatMap((name) => text(1, name)),
    ...text(2, "out"),
    ...text(4, operator),
    ...Object.entries(attributes).flatMap(attribute),
  ]
  const graph = [
    ...message(1, node),
    ...text(2, "one"),
    ...Object.entries(inputs).flatMap(([name, dimensions]) => message(11, value(name, dimensions, of.input))),
    ...message(12, value("out", output, of.output)),
  ]
  return Uint8Array.from([...whole(1, 8), ...message(7, graph), ...message(8, [...text(1, ""), ...whole(2, 17)])])
}
