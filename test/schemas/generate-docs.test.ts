/** GTypes and pages of documentation: one text for a world, whether it came from WIT or from a component. */
import { readFile } from "node:fs/promises"
import t from "tap"
import { elaborate } from "../../host/component/elaborate.ts"
import { decodeComponent } from "../../host/component/decode.ts"
import { defaultLimits } from "../../host/options.ts"
import { canonicalJson, gtypesOf, gtypesText } from "../../schemas/generate/gtypes.ts"
import { markdownOf } from "../../schemas/generate/markdown.ts"
import { parseWit, selectWorld } from "../../schemas/wit/parse/mod.ts"
import { componentOf } from "../host/component-builder.ts"

const read = (wit: string) => {
  const resolve = parseWit(wit)
  const { full, world } = selectWorld(resolve)
  return { world, name: full, resolve }
}

t.test("RFC 8785: the order of keys and the form of numbers and strings", async (t) => {
  // The samples of its sections 3.2.2 and 3.2.3.
  t.equal(
    canonicalJson(
      JSON.parse(
        '{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}',
      ),
    ),
    '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
  )
  const keys = { "\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\ud83d\ude00": 5, "\u0080": 6, "\u00f6": 7 }
  t.strictSame(Object.values(JSON.parse(canonicalJson(keys).replaceAll(/"(?:\\.|[^"])*":/g, (_key, at: number) => `"${at}":`))), [2, 4, 6, 7, 1, 5, 3])
})

const types = `package acme:types; interface api {
  record inner { a: u8, b: option<s32>, c: list<u8>, d: list<u16> }
  variant choice { none, some(inner) }
  enum level { low, high }
  flags perms { read, write-all }
  f: func(x: inner, y: choice, z: tuple<u64, char>, o: option<option<string>>) -> result<level, perms>;
  g: func() -> result<f32>;
  h: func(x: bool);
} world w { export api; }`

t.test("every type of WIT has the GType that registries expect", async (t) => {
  const { definitions, root } = gtypesOf(read(types).world)
  t.strictSame(definitions, {
    inner: {
      type: "object",
      properties: {
        a: { type: { type: "number", integer: true, minimum: 0, maximum: 255 }, required: true },
        b: { type: { type: "number", integer: true, minimum: -2147483648, maximum: 2147483647, nullable: true }, required: false },
        c: { type: { type: "string", brand: "base64" }, required: true },
        d: { type: { type: "array", items: { type: "number", integer: true, minimum: 0, maximum: 65535 } }, required: true },
      },
      additionalProperties: false,
    },
    choice: {
      type: "union",
      anyOf: [
        { type: "object", properties: { tag: { type: { type: "literal", value: "none" }, required: true } }, additionalProperties: false },
        {
          type: "object",
          properties: {
            tag: { type: { type: "literal", value: "some" }, required: true },
            val: { type: { type: "ref", definition: "inner" }, required: true },
          },
          additionalProperties: false,
        },
      ],
    },
    level: { type: "enum", values: ["low", "high"] },
    perms: {
      type: "object",
      properties: { read: { type: { type: "boolean" }, required: false }, writeAll: { type: { type: "boolean" }, required: false } },
      additionalProperties: false,
    },
  })
  const { properties } = root as unknown as {
    readonly properties: Readonly<Record<string, { type: { properties: Readonly<Record<string, { type: object }>> } }>>
  }
  const f = properties["acme:types/api#f"]?.type.properties
  t.strictSame(f?.["error"]?.type, { type: "ref", definition: "perms" })
  t.match(f?.["params"]?.type, {
    items: [{ type: "ref" }, { type: "ref" }, { type: "tuple", items: [{ type: "bigint" }, { brand: "char" }] }, { type: "union", nullable: true }],
  })
  t.strictSame(properties["acme:types/api#g"]?.type.properties["error"], undefined)
  t.strictSame(properties["acme:types/api#h"]?.type.properties["result"]?.type, { type: "null" })
})

t.test("a component and its WIT have one text, documentation none of it", async (t) => {
  const wit = `package acme:one; interface api { record r { a: u8 } f: func(x: r) -> r; } world w { export api; }`
  const core = `(module (func (export "acme:one/api#f") (param i32) (result i32) (local.get 0)) (memory (export "memory") 1) (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8)))`
  const component = await componentOf(wit, core, { world: "w" })
  const decoded = elaborate(decodeComponent(component, defaultLimits), defaultLimits).world
  const text = gtypesText(gtypesOf(read(wit).world))
  t.equal(gtypesText(gtypesOf(decoded)), text)
  t.equal(gtypesText(gtypesOf(read(wit.replace("record r", "/// A record.\n record r")).world)), text)
  t.not(gtypesText(gtypesOf(read(wit.replace("a: u8", "a: u16")).world)), text)
})

t.test("what has no JSON form is refused with its place", async (t) => {
  for (const body of ["resource r; f: func(x: r);", "resource r; f: func(x: list<borrow<r>>);", "f: func() -> stream<u8>;"])
    t.throws(() => gtypesOf(read(`package a:b; interface i { ${body} } world w { export i; }`).world), { code: "STELE-GEN-0001", message: /a:b\/i#f/ })
})

t.test("a page has every function and type once, with what the WIT says of them, and is stable", async (t) => {
  const wit = await readFile(new URL("assemblyscript/world.wit", import.meta.url), "utf8")
  const page = markdownOf(read(wit))
  for (const part of [
    "# acme:all/all@1.0.0",
    "All shapes.",
    "A record.",
    "#### record `point`",
    "| `label` | `option<string>` |",
    "#### resource `counter`",
    "## Imports",
  ])
    t.ok(page.includes(part), part)
  t.equal(page.match(/#### record `point`/g)?.length, 1)
  t.equal(markdownOf(read(wit)), page)
})
