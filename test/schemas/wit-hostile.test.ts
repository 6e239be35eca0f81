/** WIT text from a stranger: whatever it is, it is read or refused with a place, in bounded time, and nothing else happens. */
import t from "tap"
import { checkWit, parseWit, printWit, witLimits, type WitSourceError } from "../../schemas/wit/parse/mod.ts"
import { mutated, numbers } from "./mutate-wit.ts"
import { everything, randomWorld } from "./random-world.ts"
import { isFull, replay, runsOf, seed } from "../seed.ts"

const runs = runsOf(400, 20_000)
t.comment(`${replay} STELE_TEST_RUNS=${runs}: ${runs} mutated files`)

const first = (text: string): WitSourceError | undefined => checkWit([{ file: "x.wit", text }]).problems[0]
const tag = (text: string): string => first(text)?.reason._tag ?? "read"
/** As long as a machine that is busy may take: what is bounded wrongly takes minutes. */
const timed = async (work: () => void): Promise<number> => {
  const start = performance.now()
  work()
  return performance.now() - start
}

t.test("types nest up to `witDepthMax`, written out or through names", async (t) => {
  const nested = (levels: number): string => `package a:b; interface i { type t = ${"list<".repeat(levels - 1)}u8${">".repeat(levels - 1)}; }`
  t.equal(tag(nested(100)), "read")
  t.match(first(nested(101))?.message, 'Cannot read WIT beyond "witDepthMax" in "x.wit": the limit is 100 levels')
  t.equal(tag(nested(200_000)), "TooLarge")
  const named = (levels: number): string =>
    `package a:b; interface i { type t0 = u8; ${Array.from({ length: levels - 1 }, (_, i) => `type t${i + 1} = list<t${i}>;`).join(" ")} }`
  t.equal(tag(named(100)), "read")
  t.equal(tag(named(101)), "TooLarge")
})

t.test("chains of names as long as a text can hold are no recursion", async (t) => {
  const length = 10_000
  const chain = (each: (i: number) => string): string => Array.from({ length }, (_, i) => each(i)).join("\n")
  t.equal(tag(`package a:b; interface i { ${chain((i) => `type t${i} = ${i === 0 ? "u8" : `t${i - 1}`};`)} }`), "read", "aliases")
  const uses = chain((i) => `interface i${i} { ${i === 0 ? "resource r;" : `use i${i - 1}.{r};`} }`)
  t.equal(tag(`package a:b; ${uses} world w { import i${length - 1}; export i${length - 1}; }`), "read", "interfaces that use each other")
  t.equal(tag(`package a:b; ${chain((i) => `world w${i} { ${i === 0 ? "" : `include w${i - 1};`} }`)}`), "read", "worlds that include each other")
  t.equal(tag(`package a:b; ${chain((i) => `interface i${i} { use i${(i + 1) % length}.{t}; }`)}`), "Cycle", "a circle")
  t.equal(tag(`package a:b; ${chain((i) => `use i${i} as i${i + 1};`)} world w { import i${length}; } interface i0 {}`), "read", "names for names")
})

t.test("what a world becomes is bounded by `witItemsMax`, however short the text", async (t) => {
  const doubling = Array.from({ length: 40 }, (_, i) => {
    if (i === 0) return "world w0 { import a: func(); }"
    // Each world has all names of the one before, and all of them again under other names.
    return `world w${i} { include w${i - 1}; }`
  })
  t.equal(tag(`package a:b; ${doubling.join(" ")}`), "read")
  const wide = `interface i { resource r; ${Array.from({ length: 2_000 }, (_, i) => `g${i}: func(a: r);`).join("")} }`
  const many = Array.from({ length: 2_000 }, (_, i) => `world w${i} { export i; }`).join("")
  t.match(first(`package a:b; ${wide} ${many}`)?.message, '"witItemsMax" in "x.wit": the limit is 1000000 items')
})

t.test("a file of megabytes is read, one beyond `witBytesMax` refused", async (t) => {
  const functions = Array.from({ length: isFull ? 250_000 : 25_000 }, (_, i) => `  g${i}: func(a: string) -> list<u8>;`).join("\n")
  const text = `package a:b;\ninterface i {\n${functions}\n}\n`
  t.ok(text.length > (isFull ? 9_000_000 : 900_000), `${text.length} characters`)
  const ms = await timed(() => t.equal(tag(text), "read"))
  t.ok(ms < 30_000, `${Math.round(ms)} ms`)
  t.match(first(" ".repeat(witLimits.witBytesMax.max + 1))?.message, '"witBytesMax"')
  t.equal(tag(`package a:b; interface ${"x".repeat(10_000_000)} {}`), "Name")
  t.equal(tag(`package a:b@${"1".repeat(10_000_000)}.0.0;`), "Syntax")
  t.equal(tag(`package a:b; // ${"/*".repeat(4_000_000)}`), "read")
  t.equal(tag(`package a:b; ${"/*".repeat(4_000_000)}`), "Syntax")
  t.equal(tag(`package a:b; world w { @external-id("${"x".repeat(8_000_000)}") import f: func(); }`), "read")
  t.equal(tag(`package a:b; ${"}".repeat(2_000_000)}`), "Syntax")
  t.equal(tag(`package a:b; ${"interface i {".repeat(500_000)}`), "Syntax")
})

t.test("characters that hide others are refused, one byte order mark is not", async (t) => {
  t.equal(tag("\ufeffpackage a:b;\r\n\tworld w { }\r\n"), "read")
  for (const [name, char] of Object.entries({
    "U+0000": "\0",
    "U+001B": "\u001b",
    "U+0085": "\u0085",
    "U+202E": "\u202e",
    "U+2066": "\u2066",
    "U+0149": "\u0149",
    "U+17A3": "\u17a3",
  })) {
    for (const text of [`package a:b; ${char}`, `package a:b; // ${char}\n`, `package a:b; /* ${char} */`, `${char}package a:b;`]) {
      const error = first(text)
      t.equal(error?.reason._tag, "Character", name)
      t.match(error?.message, name)
      if (/\p{C}/u.test(char)) t.notOk(error?.message.includes(char), `${name} is not shown`)
    }
  }
  t.equal(tag("package a:b; \ufeffworld w { }"), "Syntax")
  t.equal(tag("package a:b; world \ud800 { }"), "Name")
  t.equal(tag("package a:b; world w { } /* "), "Syntax")
  t.equal(tag('package a:b; world w { @external-id("'), "Syntax")
})

t.test("a text of mistakes gives a hundred problems and an end", async (t) => {
  for (const text of [
    "interface i { f: func(a: nope); } ".repeat(5_000),
    "; ".repeat(100_000),
    "{".repeat(100_000),
    "} ".repeat(100_000),
    "\\ ".repeat(100_000),
    '" '.repeat(100_000),
  ]) {
    const { problems } = checkWit([{ file: "x.wit", text: `package a:b; ${text}` }])
    t.ok(problems.length >= 1 && problems.length <= 100, `${problems.length} problems`)
  }
})

t.test("mutated files are read or refused, never more", async (t) => {
  const int = numbers(seed)
  const counts = { read: 0, refused: 0 }
  for (let run = 0; run < runs; run++) {
    const text = mutated(randomWorld(seed + (run >> 3), everything).text, 1 + int(3), int)
    const { resolve, problems } = checkWit([{ file: "x.wit", text }], { features: "all" })
    if (resolve !== undefined) {
      counts.read++
      const printed = printWit(resolve)
      t.equal(printWit(parseWit(printed, { features: "all" })), printed, `run ${run}: what is printed is read as the same`)
    } else {
      counts.refused++
      for (const { message, fix, reason } of problems) {
        if (!message.startsWith("Cannot ") || fix === "" || ("line" in reason && !(reason.line >= 1 && reason.column >= 1))) t.fail(`run ${run}: ${message}`)
      }
    }
  }
  t.ok(counts.read > runs / 50 && counts.refused > runs / 4, JSON.stringify(counts))
})
