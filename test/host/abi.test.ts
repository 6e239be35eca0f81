/** The canonical ABI by example: every value type both ways, the host's side of the contract, and its errors. */
import t from "tap"
import {
  attachMemory,
  bindExport,
  bindImport,
  type CoreFunction,
  type CoreValue,
  createContext,
  flattenExport,
  flattenImport,
  type StringEncoding,
} from "../../host/abi/mod.ts"
import { SteleError } from "../../schemas/error/mod.ts"
import * as w from "../../schemas/wit/model.ts"
import type { FunctionType, ValueType } from "../../schemas/wit/model.ts"
import { encodings, type Guest, guest, never, thrown } from "./abi-guest.ts"
import { call, get, i32, memoryGrow, Module } from "./wasm-builder.ts"

const p = w.primitive
const echoType = (type: ValueType): FunctionType => w.func({ v: type }, type)

/** Sends a value through an export whose guest hands it to an import of the same type. */
function echo(type: ValueType, value: unknown, encoding: StringEncoding = "utf8", on: Guest = guest()): unknown {
  const func = echoType(type)
  const imported = bindImport(func, encoding, "echo")(on.cx, ([v]) => v)
  const isFlat = flattenImport(func).results.length === 1
  const core: CoreFunction = (...args) => {
    if (isFlat) return imported(...args)
    const at = on.realloc(0, 0, 8, 64)
    imported(...args, at)
    return at
  }
  return bindExport(func, encoding, "echo").call(on.cx, core, undefined, [value])
}

/** The error of calling an export with these arguments; the guest must not be entered. */
const refusal = (
  type: FunctionType,
  args: ReadonlyArray<unknown>,
  on: Guest = guest(),
): { readonly code: string; readonly path: unknown; readonly message: string } => {
  const error = thrown(() => bindExport(type, "utf8", "f").call(on.cx, never, undefined, args))
  if (!(error instanceof SteleError)) throw error
  return { code: error.code, path: error.toJSON().data["path"], message: error.message }
}

const item = w.record({ name: p.string, data: w.list(p.u8) })
const shape = w.variant({ circle: p.f32, rect: w.tuple(p.u64, p.u8), text: p.string, none: undefined })
const many = w.flags(...Array.from({ length: 40 }, (_, i) => `f${i}`))

t.test("`bindExport()` and `bindImport()` carry every value type", (t) => {
  const values: ReadonlyArray<readonly [ValueType, ...ReadonlyArray<unknown>]> = [
    [p.bool, true, false],
    [p.s8, -128, 127],
    [p.u8, 0, 255],
    [p.s16, -32768, 32767],
    [p.u16, 65535],
    [p.s32, -(2 ** 31), 2 ** 31 - 1],
    [p.u32, 2 ** 32 - 1],
    [p.s64, -(2n ** 63n), 2n ** 63n - 1n],
    [p.u64, 2n ** 64n - 1n],
    [p.f32, 1.5, Number.NaN, -0, Number.POSITIVE_INFINITY],
    [p.f64, 0.1, Number.NaN, -0],
    [p.char, "a", "\u{10ffff}", "\0"],
    [p.string, "", "a\0b", "\ufeffmark", "é→😀".repeat(40), "x".repeat(70_000), "\u00e9\u0080\u009f".repeat(20)],
    [w.list(p.u8), new Uint8Array(), new Uint8Array(100_000).fill(7)],
    [w.list(p.s16), new Int16Array([-1, 5])],
    [w.list(p.u64), new BigUint64Array([2n ** 64n - 1n])],
    [w.list(p.s64), new BigInt64Array([-1n])],
    [w.list(p.f32), new Float32Array([1.5, Number.NaN, -0])],
    [w.list(p.f64), new Float64Array([Number.NaN, 0.1])],
    [w.list(p.bool), [true, false]],
    [w.list(p.char), ["a", "😀"]],
    [
      w.list(item),
      [
        { name: "a", data: new Uint8Array([1]) },
        { name: "", data: new Uint8Array() },
      ],
    ],
    [w.tuple(p.u8, p.u64, p.string), [1, 2n, "three"]],
    [shape, { tag: "circle", val: 0.5 }, { tag: "rect", val: [7n, 3] }, { tag: "text", val: "t" }, { tag: "none" }],
    [w.enumeration("red", "light-blue"), "red", "light-blue"],
    [w.option(p.string), undefined, "some"],
    [w.option(w.option(p.u8)), { tag: "none" }, { tag: "some", val: undefined }, { tag: "some", val: 3 }],
    [w.result(p.string, p.u32), { tag: "ok", val: "fine" }, { tag: "err", val: 4 }],
    [w.result(), { tag: "ok" }, { tag: "err" }],
    [w.flags("read", "may-write"), { read: true, mayWrite: false }],
    [many, Object.fromEntries(many.labels.map((label, i) => [label, i % 3 === 0]))],
    [w.record({ "to-string": p.u8, constructor: p.u8, "value-of": p.string }), { toString: 1, constructor: 2, valueOf: "own" }],
  ]
  for (const [type, ...samples] of values) {
    for (const value of samples) for (const encoding of encodings) t.strictSame(echo(type, value, encoding), value, `${type.kind} ${encoding}`)
  }
  t.end()
})

t.test("`bindExport()` lifts fields that `Object.prototype` also has as own, plain properties", (t) => {
  const back = echo(
    w.record({ constructor: p.u8, "to-string": p.u8 }),
    Object.fromEntries([
      ["constructor", 1],
      ["toString", 2],
    ]),
  ) as object
  t.strictSame(Object.keys(back), ["constructor", "toString"])
  t.equal(Object.getPrototypeOf(back), Object.prototype)
  t.end()
})

t.test("`flattenExport()` and `flattenImport()` pass 16 values flat and 17 through memory", (t) => {
  const numbers = (n: number): FunctionType => ({
    kind: "function",
    params: Array.from({ length: n }, (_, i) => ({ label: `p${i}`, type: p.u32 })),
    result: w.tuple(p.u8, p.u8),
  })
  t.strictSame(flattenExport(numbers(16)), { params: Array.from({ length: 16 }, () => "i32"), results: ["i32"] })
  t.strictSame(flattenExport(numbers(17)), { params: ["i32"], results: ["i32"] })
  t.strictSame(flattenImport(numbers(16)), { params: Array.from({ length: 17 }, () => "i32"), results: [] })
  t.strictSame(flattenImport(numbers(17)), { params: ["i32", "i32"], results: [] })
  for (let n = 0; n <= 20; n++) {
    const { cx } = guest()
    const type: FunctionType = { ...numbers(n), result: p.u32 }
    const imported = bindImport(type, "utf8", "sum")(cx, (args) => args.reduce<number>((sum, one) => sum + Number(one), 0))
    const args = Array.from({ length: n }, (_, i) => i * 3)
    t.equal(
      bindExport(type, "utf8", "sum").call(cx, imported, undefined, args),
      args.reduce((sum, one) => sum + one, 0),
      `${n} parameters`,
    )
  }
  t.end()
})

t.test("`bindExport()` asks realloc once per string, for the exact length", (t) => {
  const lengths = (encoding: StringEncoding, value: string): ReadonlyArray<readonly [number, number]> => {
    const on = guest()
    bindExport(w.func({ s: p.string }), encoding, "f").call(on.cx, () => undefined, undefined, [value])
    return on.reallocs
  }
  t.strictSame(lengths("utf8", "aé→😀"), [[1, 10]])
  t.strictSame(lengths("utf8", "é".repeat(5_000)), [[1, 10_000]])
  t.strictSame(lengths("utf8", ""), [[1, 0]])
  t.strictSame(lengths("utf16", "aé→😀"), [[2, 10]])
  t.strictSame(lengths("latin1+utf16", "aé"), [[2, 2]])
  t.strictSame(lengths("latin1+utf16", "aé→"), [[2, 6]])
  t.end()
})

t.test("`bindExport()` tags UTF-16 strings under latin1+utf16 and only those", (t) => {
  const on = guest()
  const seen: Array<number> = []
  const f = bindExport(w.func({ s: p.string }), "latin1+utf16", "f")
  for (const s of ["é", "→"]) f.call(on.cx, (_at, n) => void seen.push(Number(n) >>> 0), undefined, [s])
  t.strictSame(seen, [1, 0x8000_0001])
  t.end()
})

t.test("`bindExport()` writes one NaN, however the host or the guest wrote theirs", (t) => {
  const on = guest()
  const odd32 = new Float32Array(new Uint32Array([0xffc0_1234]).buffer)
  const odd64 = new Float64Array(new BigUint64Array([0xfff8_0000_0000_1234n]).buffer)
  const view = new DataView(on.memory.buffer)
  bindExport(w.func({ a: w.list(p.f32), b: w.list(p.f64) }), "utf8", "f").call(
    on.cx,
    (a, _an, b) => {
      t.equal(view.getUint32(Number(a), true), 0x7fc0_0000)
      t.equal(view.getBigUint64(Number(b), true), 0x7ff8_0000_0000_0000n)
      return undefined
    },
    undefined,
    [odd32, odd64],
  )
  const at = on.put(8, [0x34, 0x12, 0xc0, 0xff, 0, 0, 0, 0, 0x34, 0x12, 0, 0, 0, 0, 0xf8, 0xff])
  const ret = (to: number): number => on.put(4, [...new Uint8Array(new Uint32Array([to, 1]).buffer)])
  const list32 = bindExport(w.func({}, w.list(p.f32)), "utf8", "f").call(on.cx, () => ret(at), undefined, []) as Float32Array
  const list64 = bindExport(w.func({}, w.list(p.f64)), "utf8", "f").call(on.cx, () => ret(at + 8), undefined, []) as Float64Array
  t.equal(new Uint32Array(list32.buffer)[0], 0x7fc0_0000)
  t.equal(new BigUint64Array(list64.buffer)[0], 0x7ff8_0000_0000_0000n)
  const joined = w.variant({ a: p.f32, b: p.u32 })
  bindExport(w.func({ v: joined }), "utf8", "f").call(on.cx, (_tag, bits) => void t.equal(bits, 0x7fc0_0000), undefined, [{ tag: "a", val: odd32[0] }])
  t.end()
})

t.test("`bindExport()` ignores bits that a type does not have", (t) => {
  const { cx } = guest()
  const flat = (type: ValueType, returned: CoreValue): unknown => bindExport(w.func({}, type), "utf8", "f").call(cx, () => returned, undefined, [])
  t.equal(flat(p.bool, 256), true)
  t.equal(flat(p.u8, 0x1ff), 255)
  t.equal(flat(p.s8, 0x80), -128)
  t.equal(flat(p.u16, -1), 65535)
  t.equal(flat(p.u32, -1), 2 ** 32 - 1)
  t.equal(flat(p.u64, -1n), 2n ** 64n - 1n)
  t.strictSame(flat(w.flags("a", "b"), -2), { a: false, b: true })
  t.end()
})

t.test("`bindExport()` refuses arguments with a typed error and the path to them", (t) => {
  const list = w.list(w.record({ name: p.string, kind: shape, tags: w.option(w.list(p.u16)) }))
  const type = w.func({ a: p.u8, b: list })
  t.match(refusal(type, [1]), { code: "STELE-WIT-0002", message: /it takes 2/ })
  const at = (args: ReadonlyArray<unknown>): unknown => refusal(type, args).path
  const good = { name: "n", kind: { tag: "none" }, tags: undefined }
  t.equal(at([256, []]), "args[0]")
  t.equal(at([1, {}]), "args[1]")
  t.equal(at([1, [good, { ...good, name: 3 }]]), "args[1][1].name")
  t.equal(at([1, [{ kind: good.kind }]]), "args[1][0].name")
  t.equal(at([1, [{ ...good, kind: { tag: "square" } }]]), "args[1][0].kind.tag")
  t.equal(at([1, [{ ...good, kind: { tag: "rect", val: [1n, 300] } }]]), "args[1][0].kind.val[1]")
  t.equal(at([1, [{ ...good, kind: { tag: "none", val: 1 } }]]), "args[1][0].kind.val")
  t.equal(at([1, [{ ...good, tags: [1, 2, -1] }]]), "args[1][0].tags[2]")
  t.match(refusal(type, [1, [good, { ...good, name: 3 }]]).message, "Cannot use number 3 as string at args[1][1].name")
  t.end()
})

t.test("`bindExport()` never wraps, truncates or converts a host value", (t) => {
  const refused = (type: ValueType, ...values: ReadonlyArray<unknown>): void => {
    for (const value of values) t.equal(refusal(w.func({ v: type }), [value]).code, "STELE-WIT-0001", `${type.kind} ${typeof value} ${String(value)}`)
  }
  refused(p.bool, 0, 1, "true", undefined, null)
  refused(p.u8, -1, 256, 1.5, "1", 1n, Number.NaN, undefined)
  refused(p.s8, -129, 128, 0.5)
  refused(p.u16, -1, 65536)
  refused(p.s16, 32768, -32769)
  refused(p.u32, -1, 2 ** 32, 1e300, Number.POSITIVE_INFINITY)
  refused(p.s32, 2 ** 31, -(2 ** 31) - 1)
  refused(p.u64, 1, -1n, 2n ** 64n)
  refused(p.s64, 0, 2n ** 63n, -(2n ** 63n) - 1n)
  refused(p.f32, "1", 1n, undefined, null)
  refused(p.f64, "1", 1n)
  refused(p.char, "", "ab", "\ud800", "a\u0301", 97)
  refused(p.string, 1, undefined, null, Object("boxed"), ["a"])
  refused(w.list(p.u8), "abc", [256], new Int8Array(1), new ArrayBuffer(1), new DataView(new ArrayBuffer(1)), { length: 1, 0: 1 })
  refused(w.list(p.u32), new Int32Array(1), new Float64Array(1))
  refused(w.list(p.string), new Set(["a"]), "ab", { 0: "a", length: 1 })
  refused(w.tuple(p.u8, p.u8), [1], [1, 2, 3], { 0: 1, 1: 2 })
  refused(w.enumeration("a", "b"), "c", 0, "constructor", "__proto__", undefined)
  refused(shape, "none", { tag: "toString" }, { tag: 0 }, {}, null)
  refused(w.option(p.u8), null, "x")
  refused(w.option(w.option(p.u8)), undefined, 3)
  refused(w.result(p.u8), { tag: "ok" }, { ok: 1 }, 1)
  refused(w.flags("read"), { read: 1 }, ["read"], "read", { reed: true }, null)
  refused(item, null, [], () => 1, "item", new Uint8Array(1))
  t.end()
})

t.test("`bindExport()` refuses views whose bytes or length others can change", (t) => {
  const bytes = w.func({ v: w.list(p.u8) })
  const detached = new Uint8Array(100)
  structuredClone(detached.buffer, { transfer: [detached.buffer] })
  const small = new Uint8Array(8)
  structuredClone(small.buffer, { transfer: [small.buffer] })
  for (const [what, view] of [
    ["shared", new Uint8Array(new SharedArrayBuffer(8))],
    ["resizable", new Uint8Array(new ArrayBuffer(8, { maxByteLength: 16 }))],
    ["detached", detached],
    ["detached", small],
  ] as const) {
    const { code, message } = refusal(bytes, [view])
    t.equal(code, "STELE-WIT-0001")
    t.match(message, what)
  }
  t.equal(refusal(w.func({ v: w.list(p.u32) }), [new Uint32Array(new SharedArrayBuffer(8))]).code, "STELE-WIT-0001")
  t.end()
})

t.test("`bindExport()` believes the engine about a view's kind and length, not the view", (t) => {
  class Liar extends Uint8Array {
    override get length(): number {
      return 1_000_000
    }
  }
  const lied = new Liar(3)
  Object.defineProperty(lied, "byteLength", { value: 5 })
  t.strictSame(echo(w.list(p.u8), lied), new Uint8Array(3))
  t.strictSame(
    echo(w.list(p.u16), new Uint16Array(new Uint8Array([9, 9, 1, 0, 2, 0, 9, 9]).buffer, 2, 2)),
    new Uint16Array([1, 2]),
    "a view into a larger buffer",
  )
  const impostor = Object.create(Uint8Array.prototype) as object
  t.equal(refusal(w.func({ v: w.list(p.u8) }), [impostor]).code, "STELE-WIT-0001")
  t.end()
})

t.test("`bindExport()` reads each field once, own properties only", (t) => {
  const reads: Array<string> = []
  const value = {
    get name() {
      reads.push("name")
      return "once"
    },
    get data() {
      reads.push("data")
      return new Uint8Array([1])
    },
    get extra() {
      reads.push("extra")
      return 1
    },
  }
  t.strictSame(echo(item, value), { name: "once", data: new Uint8Array([1]) })
  t.strictSame(reads, ["name", "data"], "fields the type does not have are not read")
  const inherited = Object.create({ name: "inherited", data: new Uint8Array() }) as object
  t.equal(refusal(w.func({ v: item }), [inherited]).path, "args[0].name")
  t.equal(refusal(w.func({ v: w.result(p.u8) }), [Object.create({ tag: "ok", val: 1 })]).path, "args[0].tag")
  t.strictSame(
    echo(w.flags("constructor", "to-string"), {}),
    Object.fromEntries([
      ["constructor", false],
      ["toString", false],
    ]),
  )
  t.end()
})

t.test("`bindExport()` accepts plain arrays for number lists and absent flags and options", (t) => {
  t.strictSame(echo(w.list(p.u8), [1, 2, 255]), new Uint8Array([1, 2, 255]))
  t.strictSame(echo(w.list(p.s64), [-1n]), new BigInt64Array([-1n]))
  t.strictSame(echo(w.list(p.f32), [0.1]), new Float32Array([0.1]))
  t.strictSame(echo(w.flags("read", "write"), { write: true }), { read: false, write: true })
  t.strictSame(echo(w.record({ a: w.option(p.u8) }), {}), { a: undefined })
  t.end()
})

t.test("`bindExport()` copies: neither side sees the other's later writes", (t) => {
  const on = guest()
  const sent = new Uint8Array([1, 2, 3])
  const back = echo(w.list(p.u8), sent, "utf8", on) as Uint8Array
  new Uint8Array(on.memory.buffer).fill(9)
  t.strictSame(back, new Uint8Array([1, 2, 3]))
  t.equal(back.buffer === on.memory.buffer, false)
  t.end()
})

t.test("`bindExport()` leaves `isTouched` false when nothing reached the guest", (t) => {
  const on = guest()
  refusal(w.func({ a: p.u32, b: w.enumeration("x") }), [1, "y"], on)
  t.equal(on.instance.isTouched, false)
  refusal(w.func({ a: p.string, b: p.u8 }), ["allocated", 300], on)
  t.equal(on.instance.isTouched, true)
  echo(p.u8, 1, "utf8", on)
  t.equal(on.instance.isTouched, true)
  t.equal(on.instance.mayLeave, true)
  t.end()
})

t.test("`bindExport()` runs post-return once, after lifting, with what the core function returned", (t) => {
  const on = guest()
  const order: Array<string> = []
  const f = bindExport(w.func({}, p.string), "utf8", "f")
  const text = on.put(1, [...new TextEncoder().encode("kept until lifted")])
  const ret = on.put(4, [...new Uint8Array(new Uint32Array([text, 17]).buffer)])
  const back = f.call(
    on.cx,
    () => {
      order.push("core")
      return ret
    },
    (...args) => {
      order.push(`post ${args.join()} mayLeave ${on.instance.mayLeave}`)
      new Uint8Array(on.memory.buffer).fill(0)
      return undefined
    },
    [],
  )
  t.equal(back, "kept until lifted")
  t.strictSame(order, ["core", `post ${ret} mayLeave false`])
  t.equal(on.instance.mayLeave, true)
  bindExport(w.func({}), "utf8", "f").call(
    on.cx,
    () => undefined,
    (...args) => void t.equal(args.length, 0, "no result, no argument"),
    [],
  )
  t.end()
})

t.test("`bindImport()` checks what the host returns under the path `result`", (t) => {
  const on = guest()
  const outcome = (type: ValueType, value: unknown): unknown =>
    thrown(() => bindImport(w.func({}, type), "utf8", "i")(on.cx, () => value)(on.realloc(0, 0, 8, 32)))
  const path = (type: ValueType, value: unknown): unknown => (outcome(type, value) as SteleError).toJSON().data["path"]
  t.equal(path(p.u8, 300), "result")
  t.equal(path(w.list(item), [{ name: 1, data: new Uint8Array() }]), "result[0].name")
  t.equal(path(p.string, Promise.resolve("late")), "result")
  t.equal(path(w.result(p.string, p.string), { tag: "err", val: 5 }), "result.val")
  t.equal(bindImport(w.func({}), "utf8", "i")(on.cx, () => "ignored without a result type")(), undefined)
  t.end()
})

t.test("`bindImport()` sends every failure through `budget.fail`, the host's own included", (t) => {
  const on = guest()
  const own = new Error("port closed")
  const imported = bindImport(
    w.func({}),
    "utf8",
    "i",
  )(on.cx, () => {
    throw own
  })
  t.equal(
    thrown(() => imported()),
    own,
  )
  t.end()
})

t.test("`bindImport()` refuses a guest that leaves from realloc or post-return", (t) => {
  const on = guest()
  let calls = 0
  const imported = bindImport(w.func({}), "utf8", "wasi:x/y#z")(on.cx, () => void calls++)
  const sneaky = guest({ realloc: () => Number(imported()) })
  const cx = createContext({ memory: sneaky.memory, realloc: sneaky.cx.realloc, budget: on.budget, handles: on.handles, instance: on.instance })
  t.match(
    thrown(() => bindExport(w.func({ s: p.string }), "utf8", "f").call(cx, never, undefined, ["x"])),
    { name: "AbiTrap", message: /"wasi:x\/y#z"/ },
  )
  on.instance.mayLeave = true
  t.match(
    thrown(() => bindExport(w.func({}), "utf8", "f").call(on.cx, () => undefined, imported, [])),
    { name: "AbiTrap" },
  )
  t.equal(calls, 0)
  t.end()
})

t.test("handles go through the table, loans and borrows end with their scope", (t) => {
  const file = w.resource("file")
  const on = guest()
  const rep = { path: "/x" }
  const close = bindExport(w.func({ f: w.own(file) }), "utf8", "close")
  let handle = 0
  close.call(on.cx, (h) => void (handle = Number(h)), undefined, [rep])
  t.equal(on.handles.live.get(handle)?.rep, rep)

  const lend = bindImport(
    w.func({ f: w.borrow(file) }, p.u32),
    "utf8",
    "read",
  )(on.cx, ([lent]) => {
    t.equal(lent, rep)
    t.equal(on.handles.live.get(handle)?.lent, 1)
    return 5
  })
  t.equal(lend(handle), 5)
  t.equal(on.handles.live.get(handle)?.lent, 0)
  t.equal(on.handles.scopes.length, 0)

  const take = bindImport(w.func({ f: w.own(file) }), "utf8", "take")(on.cx, ([taken]) => void t.equal(taken, rep))
  take(handle)
  t.equal(on.handles.live.size, 0)
  t.match(
    thrown(() => take(handle)),
    { name: "AbiTrap" },
    "a handle leaves once",
  )
  t.match(
    thrown(() => take(0)),
    { name: "AbiTrap" },
  )

  const look = bindExport(w.func({ f: w.list(w.borrow(file)) }), "utf8", "look")
  look.call(
    on.cx,
    (at, n) => {
      const view = new DataView(on.memory.buffer)
      for (let i = 0; i < Number(n); i++) on.handles.dropBorrow(view.getUint32(Number(at) + 4 * i, true))
      return undefined
    },
    undefined,
    [[rep, rep]],
  )
  t.equal(on.handles.live.size, 0)
  t.match(
    thrown(() => look.call(on.cx, () => undefined, undefined, [[rep]])),
    { name: "AbiTrap" },
    "a borrow the guest keeps",
  )
  t.equal(refusal(w.func({ f: w.own(file) }), [undefined]).path, "args[0]")
  const fresh = guest()
  const refused = refusal(w.func({ f: w.list(w.record({ "the-file": w.own(file) })) }), [[{ theFile: "foreign" }]], guest())
  t.match(refused, { code: "STELE-WIT-0001", path: "args[0][0].theFile" })
  refusal(w.func({ f: w.own(file) }), ["foreign"], fresh)
  t.equal(fresh.instance.isTouched, false, "a refused resource leaves no trace")
  const scopes = on.handles.scopes.length
  refusal(w.func({ n: p.u8, f: w.borrow(file) }), [300, rep], on)
  t.equal(on.handles.scopes.length, scopes, "a refused call leaves no scope open")
  t.end()
})

t.test("`attachMemory()` gives memory and realloc to functions bound before", (t) => {
  const on = guest()
  const cx = createContext({ memory: undefined, realloc: undefined, budget: on.budget, handles: on.handles, instance: on.instance })
  const imported = bindImport(echoType(p.string), "utf8", "echo")(cx, ([s]) => `${String(s)}!`)
  attachMemory(cx, on.memory, on.realloc)
  const at = on.put(1, [0x68, 0x69])
  const ret = on.put(4, [0, 0, 0, 0, 0, 0, 0, 0])
  imported(at, 2, ret)
  const view = new DataView(on.memory.buffer)
  t.equal(view.getUint32(ret + 4, true), 3)
  t.equal(view.getUint8(view.getUint32(ret, true) + 2), 0x21)
  t.end()
})

t.test("views follow a memory that grows in realloc, in the core function and during a host call", async (t) => {
  const m = new Module()
  const host = m.importFunc("h", "swap", ["i32", "i32", "i32"], [])
  m.export("memory", "memory", m.memory(1, 64))
  // Every call grows the memory by a page and answers with that page: no view survives any of them.
  const grow = [i32(1), memoryGrow, i32(65_536), "i32.mul"]
  m.func(["i32", "i32", "i32", "i32"], ["i32"], { export: "realloc" }, grow)
  m.func(["i32", "i32"], ["i32"], { export: "f", locals: ["i32"] }, [get(0), get(1), i32(8), call(host), i32(1), memoryGrow, "drop", i32(8)])
  m.func(["i32"], [], { export: "size" }, [get(0), "drop"])
  const on = guest()
  const cx = createContext({ memory: undefined, realloc: undefined, budget: on.budget, handles: on.handles, instance: on.instance })
  const swap = bindImport(echoType(p.string), "utf8", "swap")(cx, ([s]) => `${String(s)} and back`)
  const { instance } = await WebAssembly.instantiate(m.bytes() as Uint8Array<ArrayBuffer>, { h: { swap } })
  const exports = instance.exports as unknown as Readonly<Record<"f" | "realloc", CoreFunction>> & { readonly memory: WebAssembly.Memory }
  attachMemory(cx, exports.memory, exports.realloc as never)
  const f = bindExport(echoType(p.string), "utf8", "f")
  for (let i = 0; i < 15; i++) t.equal(f.call(cx, exports.f, undefined, ["there"]), "there and back")
  t.equal(exports.memory.buffer.byteLength, 65_536 * 46)
})
