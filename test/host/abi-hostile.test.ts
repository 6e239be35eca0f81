/** Guests that lie: every pointer, length, discriminant, handle and realloc that cannot be, and what each costs the host. */
import t from "tap"
import { bindExport, bindImport, type CoreFunction, type CoreValue, type Realloc, type StringEncoding } from "../../host/abi/mod.ts"
import { LimitError } from "../../schemas/error/mod.ts"
import * as w from "../../schemas/wit/model.ts"
import type { ValueType } from "../../schemas/wit/model.ts"
import { encodings, type Guest, guest, never, thrown } from "./abi-guest.ts"

const p = w.primitive
const page = 65_536

const words = (...values: ReadonlyArray<number>): ReadonlyArray<number> => [...new Uint8Array(Uint32Array.from(values).buffer)]

/** Lifts a result from a return area that holds `bytes`. */
function lifted(type: ValueType, bytes: ReadonlyArray<number>, on: Guest = guest(), encoding: StringEncoding = "utf8"): unknown {
  const ret = on.put(8, bytes)
  return bindExport(w.func({}, type), encoding, "f").call(on.cx, () => ret, undefined, [])
}
/** The same bytes as arguments of an import that takes its parameters flat. */
function taken(type: ValueType, flat: ReadonlyArray<CoreValue>, on: Guest = guest(), encoding: StringEncoding = "utf8"): unknown {
  let seen: unknown
  bindImport(w.func({ v: type }), encoding, "i")(on.cx, ([v]) => void (seen = v))(...flat)
  return seen
}
const isTrap = { name: "AbiTrap" }

t.test("pointers and lengths outside memory trap, in both directions and every encoding", (t) => {
  const pairs: ReadonlyArray<readonly [number, number]> = [
    [page, 1],
    [page - 2, 4],
    [0, page + 2],
    [0xffff_fffe, 2],
    [0xffff_fffe, 0x7fff_ffff],
    [8, 0xffff_fff8],
    [2, 0x7fff_ffff],
    [0x8000_0000, 0x8000_0000],
    [page + 2, 0],
  ]
  for (const [at, length] of pairs) {
    for (const encoding of encodings) {
      t.match(
        thrown(() => lifted(p.string, words(at, length), guest(), encoding)),
        isTrap,
        `string ${at} ${length} ${encoding}`,
      )
      t.match(
        thrown(() => taken(p.string, [at | 0, length | 0], guest(), encoding)),
        isTrap,
      )
    }
    for (const element of [p.u8, p.u16, p.f64, p.string, w.tuple(p.u8, p.u64)]) {
      t.match(
        thrown(() => lifted(w.list(element), words(at, length))),
        isTrap,
        `list<${element.kind}> ${at} ${length}`,
      )
    }
  }
  t.end()
})

t.test("misaligned pointers trap, also with length 0", (t) => {
  for (const length of [0, 1]) {
    t.match(
      thrown(() => lifted(p.string, words(1, length), guest(), "utf16")),
      isTrap,
    )
    t.match(
      thrown(() => lifted(p.string, words(1, length), guest(), "latin1+utf16")),
      isTrap,
    )
    t.match(
      thrown(() => lifted(w.list(p.u16), words(1, length))),
      isTrap,
    )
    t.match(
      thrown(() => lifted(w.list(p.f64), words(4, length))),
      isTrap,
    )
    t.match(
      thrown(() => lifted(w.list(w.tuple(p.u8, p.u32)), words(2, length))),
      isTrap,
    )
  }
  t.equal(lifted(p.string, words(1, 0)), "", "UTF-8 has no alignment")
  t.end()
})

t.test("return areas and parameter blocks that lie outside memory or misaligned trap", (t) => {
  const wide = w.tuple(...Array.from({ length: 17 }, () => p.u32))
  for (const at of [page - 4, page, 0x7fff_fffc, 0xffff_fffc, 2, -1]) {
    const { cx, budget } = guest()
    t.match(
      thrown(() => bindExport(w.func({}, w.tuple(p.u32, p.u32)), "utf8", "f").call(cx, () => at, undefined, [])),
      isTrap,
      `export result ${at}`,
    )
    t.match(
      thrown(() => bindImport(w.func({ v: wide }), "utf8", "i")(cx, () => never())(at)),
      isTrap,
      `import parameters ${at}`,
    )
    t.match(
      thrown(() => bindImport(w.func({}, w.tuple(p.u32, p.u32)), "utf8", "i")(cx, () => [1, 2])(at)),
      isTrap,
      `import result ${at}`,
    )
    t.equal(budget.bytesOut, 0, "nothing was charged for what was not read")
  }
  t.end()
})

t.test("realloc that answers junk traps before a byte is written", (t) => {
  const answers: ReadonlyArray<readonly [name: string, realloc: Realloc]> = [
    ["end of memory", () => page],
    ["just too far", () => page - 3],
    ["-1", () => -1],
    ["2^31", () => -(2 ** 31)],
  ]
  for (const [name, realloc] of answers) {
    for (const [type, value] of [
      [p.string, "abcd"],
      [p.string, "é".repeat(40)],
      [w.list(p.u8), new Uint8Array(4)],
      [w.list(p.u32), new Uint32Array(1)],
      [w.list(p.string), ["a"]],
    ] as const) {
      const on = guest({ realloc })
      const before = new Uint8Array(on.memory.buffer).slice()
      t.match(
        thrown(() => bindExport(w.func({ v: type }), "utf8", "f").call(on.cx, never, undefined, [value])),
        isTrap,
        `${name} ${type.kind}`,
      )
      t.strictSame(new Uint8Array(on.memory.buffer), before)
    }
  }
  const odd = guest({ realloc: () => 1001 })
  t.match(
    thrown(() => bindExport(w.func({ v: p.string }), "utf16", "f").call(odd.cx, never, undefined, ["a"])),
    isTrap,
    "misaligned for UTF-16",
  )
  t.match(
    thrown(() => bindExport(w.func({ v: w.list(p.u64) }), "utf8", "f").call(odd.cx, never, undefined, [[1n]])),
    isTrap,
    "misaligned for u64",
  )
  t.match(
    thrown(() =>
      bindExport(w.func({ v: w.tuple(...Array.from({ length: 17 }, () => p.u32)) }), "utf8", "f").call(odd.cx, never, undefined, [
        Array.from({ length: 17 }, () => 1),
      ]),
    ),
    isTrap,
    "misaligned parameter block",
  )
  for (const answer of [undefined, Number.NaN, {}, "8"]) {
    const on = guest({ realloc: () => answer as number })
    t.doesNotThrow(
      () => bindExport(w.func({ v: p.string }), "utf8", "f").call(on.cx, () => undefined, undefined, ["a"]),
      "a JavaScript realloc is coerced as a core i32 would be",
    )
  }
  t.end()
})

t.test("a missing or trapping realloc ends the call", (t) => {
  const on = guest()
  on.cx.realloc = undefined
  t.match(
    thrown(() => bindExport(w.func({ v: p.string }), "utf8", "f").call(on.cx, never, undefined, ["a"])),
    isTrap,
  )
  const boom = new WebAssembly.RuntimeError("unreachable")
  const trapping = guest({
    realloc: () => {
      throw boom
    },
  })
  t.equal(
    thrown(() => bindExport(w.func({ v: p.string }), "utf8", "f").call(trapping.cx, never, undefined, ["a"])),
    boom,
  )
  t.equal(trapping.instance.isTouched, true)
  t.end()
})

t.test("realloc that answers overlapping or host-written regions harms only the guest", (t) => {
  const on = guest({ realloc: () => 64 })
  const f = bindExport(w.func({ a: p.string, b: w.list(p.u32), c: w.list(p.string) }), "utf8", "f")
  t.doesNotThrow(() => f.call(on.cx, () => undefined, undefined, ["abc", [1, 2], ["x", "y", "z"]]))
  t.end()
})

t.test("bad discriminants trap in memory and flat", (t) => {
  const wide = w.enumeration(...Array.from({ length: 300 }, (_, i) => `c${i}`))
  t.match(
    thrown(() => lifted(w.option(p.u32), words(2, 0))),
    isTrap,
  )
  t.match(
    thrown(() => lifted(w.result(p.u32, p.u8), words(255, 0))),
    isTrap,
  )
  t.match(
    thrown(() => lifted(w.tuple(wide, wide), words(300))),
    isTrap,
  )
  for (const index of [2, -1, 2 ** 31]) {
    t.match(
      thrown(() => taken(w.option(p.u32), [index, 0])),
      isTrap,
    )
    t.match(
      thrown(() => taken(w.enumeration("a", "b"), [index])),
      isTrap,
    )
    t.match(
      thrown(() => taken(w.variant({ a: undefined, b: p.string }), [index, 0, 0])),
      isTrap,
    )
  }
  t.end()
})

t.test("bad chars trap, odd booleans and flag bits do not", (t) => {
  for (const point of [0xd800, 0xdfff, 0x11_0000, -1]) {
    t.match(
      thrown(() => taken(p.char, [point])),
      isTrap,
    )
    t.match(
      thrown(() => lifted(w.tuple(p.char, p.u8), words(point, 0))),
      isTrap,
    )
  }
  t.strictSame(lifted(w.tuple(p.bool, p.bool, w.flags("a"), p.u8), [2, 255, 0xff, 1]), [true, true, { a: true }, 1])
  t.end()
})

t.test("text that is not UTF-8 traps at every length, and genuine U+FFFD does not", (t) => {
  const broken: ReadonlyArray<ReadonlyArray<number>> = [
    [0x80],
    [0xc0, 0x80],
    [0xc3],
    [0xe2, 0x82],
    [0xed, 0xa0, 0x80],
    [0xf4, 0x90, 0x80, 0x80],
    [0xf8, 0x88, 0x80, 0x80, 0x80],
    [0xff],
    [0xfe],
  ]
  for (const bytes of broken) {
    for (const pad of [0, 1, 20, 23, 24, 25, 40, 5_000]) {
      const on = guest()
      const text = [...Array.from({ length: pad }, () => 0x61), ...bytes]
      const at = on.put(1, text)
      t.match(
        thrown(() => lifted(p.string, words(at, text.length), on)),
        isTrap,
        `${bytes.join()} after ${pad}`,
      )
    }
  }
  for (const pad of [0, 40]) {
    const on = guest()
    const bytes = [...new TextEncoder().encode(`${"a".repeat(pad)}\ufffd`)]
    t.equal(lifted(p.string, words(on.put(1, bytes), bytes.length), on), `${"a".repeat(pad)}\ufffd`)
  }
  t.end()
})

t.test("UTF-16 with lone surrogates lifts with U+FFFD at every length", (t) => {
  for (const pad of [0, 10, 23, 24, 100]) {
    for (const encoding of ["utf16", "latin1+utf16"] as const) {
      const on = guest()
      const units = [...Array.from({ length: pad }, () => 0x61), 0xd83d, 0x62, 0xde00]
      const at = on.put(2, [...new Uint8Array(Uint16Array.from(units).buffer)])
      const length = encoding === "utf16" ? units.length : units.length + 2 ** 31
      t.equal(lifted(p.string, words(at, length), on, encoding), `${"a".repeat(pad)}\ufffdb\ufffd`)
    }
  }
  t.end()
})

t.test("bad handles trap", (t) => {
  const file = w.resource("file")
  for (const handle of [0, 1, 77, -1]) {
    t.match(
      thrown(() => taken(w.own(file), [handle])),
      isTrap,
    )
    t.match(
      thrown(() => taken(w.borrow(file), [handle])),
      isTrap,
    )
    t.match(
      thrown(() => lifted(w.list(w.own(file)), words(guest().put(4, words(handle)), 1))),
      isTrap,
    )
  }
  t.end()
})

t.test("billions of zero-sized elements are refused before anything is allocated", (t) => {
  const empty = w.tuple()
  for (const element of [empty, w.record({}), w.tuple(empty, empty), w.flags()]) {
    for (const length of [2 ** 31, 2 ** 32 - 1]) {
      const on = guest({ limits: { lift: 64 << 20, output: 16 << 20 } })
      const error = thrown(() => lifted(w.list(element), words(0, length), on))
      t.equal(error instanceof LimitError, true, `${element.kind} ${length}`)
      t.match(error, { reason: { _tag: "outputBytesMax", limit: 16 << 20 } })
    }
  }
  t.end()
})

t.test("aliasing lists are charged each time they are read", (t) => {
  const on = guest({ limits: { lift: 8 << 20, output: 2 ** 40 } })
  const shared = on.put(
    1,
    Array.from({ length: 32_768 }, () => 7),
  )
  const pairs = on.put(4, Array.from({ length: 4_000 }, () => words(shared, 32_768)).flat())
  const error = thrown(() => lifted(w.list(w.list(p.u8)), words(pairs, 4_000), on))
  t.match(error, { reason: { _tag: "liftBytesMax", limit: 8 << 20 } })
  t.equal(on.budget.bytesOut < (8 << 20) + 65_536, true, "stopped at the limit, not after it")
  const strings = thrown(() => lifted(w.list(p.string), words(pairs, 4_000), guestWith(on)))
  t.equal(strings instanceof LimitError, true)
  t.end()
})

/** The same memory with a fresh budget. */
function guestWith(on: Guest): Guest {
  on.budget.liftBytesLeft = on.budget.liftBytesMax
  return on
}

t.test("limits hold to the byte: below and at them passes, above them does not", (t) => {
  const text = (n: number, on: Guest): unknown =>
    lifted(
      p.string,
      words(
        on.put(
          1,
          Array.from({ length: n }, () => 0x61),
        ),
        n,
      ),
      on,
    )
  // A string result is its 8-byte return area and its bytes.
  for (const [n, fits] of [
    [91, true],
    [92, true],
    [93, false],
  ] as const) {
    for (const [limit, name] of [
      [{ output: 100 }, "outputBytesMax"],
      [{ lift: 100 }, "liftBytesMax"],
    ] as const) {
      const error = thrown(() => text(n, guest({ limits: limit })))
      if (fits) t.equal(error, undefined, `${name} ${n}`)
      else t.match(error, { reason: { _tag: name, limit: 100, actual: 101 } }, `${name} ${n}`)
    }
    const on = guest({ limits: { hostCall: 100 } })
    const at = on.put(
      1,
      Array.from({ length: n }, () => 0x61),
    )
    const error = thrown(() => taken(p.string, [at, n], on))
    if (fits) t.equal(error, undefined)
    else t.match(error, { reason: { _tag: "hostCallBytesMax", limit: 100, actual: 101 } })
  }
  t.end()
})

t.test("`hostCallBytesMax` is per host call, `liftBytesMax` per call", (t) => {
  const on = guest({ limits: { hostCall: 100, lift: 250 } })
  const at = on.put(
    1,
    Array.from({ length: 80 }, () => 0x61),
  )
  t.equal(
    thrown(() => taken(p.string, [at, 80], on)),
    undefined,
  )
  t.equal(
    thrown(() => taken(p.string, [at, 80], on)),
    undefined,
  )
  t.match(
    thrown(() => taken(p.string, [at, 80], on)),
    { reason: { _tag: "liftBytesMax" } },
  )
  t.end()
})

t.test("usage counts the bytes that crossed, each way", (t) => {
  const on = guest()
  bindExport(w.func({ s: p.string, n: p.u32 }), "utf8", "f").call(on.cx, () => undefined, undefined, ["12345", 1])
  t.equal(on.budget.bytesIn, 12 + 5)
  t.equal(on.budget.bytesOut, 0)
  taken(w.list(p.u8), [0, 40], on)
  t.equal(on.budget.bytesOut, 8 + 40)
  t.end()
})

t.test("lists look at the stop every 4,096 elements in both directions, nested or not", (t) => {
  const checks = (run: (on: Guest) => unknown): number => {
    const on = guest()
    run(on)
    return on.budget.checks
  }
  const send = (type: ValueType, value: unknown): number =>
    checks((on) => bindExport(w.func({ v: type }), "utf8", "f").call(on.cx, () => undefined, undefined, [value]))
  const n = 40_960
  t.equal(
    send(
      w.list(p.bool),
      Array.from({ length: 4_095 }, () => true),
    ),
    0,
  )
  t.equal(
    send(
      w.list(p.bool),
      Array.from({ length: n }, () => true),
    ) >= 9,
    true,
  )
  t.equal(
    send(
      w.list(w.list(p.bool)),
      Array.from({ length: n / 8 }, () => Array.from({ length: 8 }, () => true)),
    ) >= 9,
    true,
    "short lists in a long one count together",
  )
  t.equal(
    send(
      w.list(w.tuple(...Array.from({ length: 64 }, () => p.u8))),
      Array.from({ length: n / 64 }, () => Array.from({ length: 64 }, () => 1)),
    ) >= 9,
    true,
    "wide elements weigh more",
  )
  t.equal(checks((on) => taken(w.list(p.bool), [0, n], on)) >= 9, true)
  t.equal(checks((on) => taken(w.list(w.tuple()), [0, n], on)) >= 9, true)
  t.end()
})

t.test("a stop found while a list moves ends the call with the recorded reason", (t) => {
  const stop = new LimitError("deadlineMs", { limit: 5 })
  const on = guest()
  on.budget.checkStop = () => {
    throw stop
  }
  t.equal(
    thrown(() => taken(w.list(p.bool), [0, 10_000], on)),
    stop,
  )
  on.cx.wordsUntilCheck = 0
  t.equal(
    thrown(() => bindExport(w.func({ v: w.list(p.bool) }), "utf8", "f").call(on.cx, never, undefined, [[true]])),
    stop,
  )
  t.end()
})

t.test("arrays that lie about their length or hold getters cannot break out of their allocation", (t) => {
  const on = guest()
  const f = bindExport(w.func({ v: w.list(p.string) }), "utf8", "f")
  const lies = (length: unknown): unknown => new Proxy(["a"], { get: (target, key) => (key === "length" ? length : Reflect.get(target, key)) })
  for (const length of [-1, 1.5, Number.NaN, 2 ** 32, 2 ** 53, Number.POSITIVE_INFINITY, "1", undefined]) {
    t.match(
      thrown(() => f.call(on.cx, never, undefined, [lies(length)])),
      { code: "STELE-WIT-0001" },
      String(length),
    )
  }
  const growing: Array<unknown> = ["a", "b"]
  Object.defineProperty(growing, 0, {
    get: () => {
      growing.push("more")
      return "first"
    },
  })
  f.call(on.cx, (_at, n) => void t.equal(n, 2, "the length read first is the length"), undefined, [growing])
  t.match(
    thrown(() => f.call(on.cx, never, undefined, [[, "hole"]])),
    { code: "STELE-WIT-0001" },
  )
  t.end()
})

t.test("a getter that calls back into the ABI does not disturb the value around it", (t) => {
  const on = guest()
  const type = w.record({ a: p.string, b: p.string, c: w.flags("x", "y") })
  const f = bindExport(w.func({ v: type }, type), "utf8", "f")
  const imported = bindImport(w.func({ v: type }, type), "utf8", "i")(on.cx, ([v]) => v)
  const core: CoreFunction = (...args) => {
    const at = on.realloc(0, 0, 8, 64)
    imported(...args, at)
    return at
  }
  const inner = { a: "inner a", b: "ü".repeat(100), c: { x: true, y: true } }
  const outer = {
    a: "outer a",
    get b() {
      f.call(on.cx, core, undefined, [inner])
      return "é".repeat(60)
    },
    c: {
      get x() {
        f.call(on.cx, core, undefined, [inner])
        return false
      },
      y: true,
    },
  }
  t.strictSame(f.call(on.cx, core, undefined, [outer]), { a: "outer a", b: "é".repeat(60), c: { x: false, y: true } })
  t.end()
})
