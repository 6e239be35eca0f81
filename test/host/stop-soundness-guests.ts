/**
 * Guests that try to run for long without passing a stop check. The generator knows the rewriter's rules and aims at
 * their edges: bodies just under a bound, call trees without loops, work on the way out of a recursion, bulk operations
 * in a row. Each guest exports `run`, and tells how many instructions (or, for bulk operations, bytes and elements) a
 * plain run executes.
 */
import {
  block,
  br,
  brIf,
  brTable,
  call,
  callIndirect,
  type Code,
  get,
  i32,
  iff,
  loop,
  mem,
  memoryCopy,
  memoryFill,
  Module,
  refFunc,
  repeat,
  returnCall,
  returnCallIndirect,
  set,
  tableFill,
  tee,
  throwTag,
  tryTable,
} from "./wasm-builder.ts"

/** Deterministic random numbers (mulberry32). */
export const random = (seed: number): ((below: number) => number) => {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000) * below
  }
}

export interface SoundnessGuest {
  readonly family: string
  readonly bytes: Uint8Array<ArrayBuffer>
  /** Estimate of a plain run's work; 1e11 and more is over ten seconds on any machine of today. */
  readonly work: number
}

type Pick = (below: number) => number

/** About `count` instructions of straight-line work on local 0: mixing, dependent divisions, or stores that each touch another page. */
const filler = (pick: Pick, count: number): Code => {
  const kind = pick(3) | 0
  const out: Array<Code> = []
  for (let left = count; left > 0; left -= 6) {
    const k = pick(1 << 20) | 0 | 1
    if (kind === 0) out.push(get(0), i32(k), pick(2) < 1 ? "i32.mul" : "i32.add", i32(7), "i32.rotl", set(0))
    else if (kind === 1) out.push(i32(-k), get(0), i32(1), "i32.or", "i32.div_u", set(0))
    else out.push(i32(((pick(900) | 0) * 65_536 + (pick(16) | 0) * 4_096) & ~3), get(0), mem("i32.store"), "nop", "nop", "nop")
  }
  return out
}

const sizes = [4, 40, 200, 900, 990, 1_010, 2_400, 4_900, 5_050, 9_000, 14_900]
const size = (pick: Pick): number => sizes[pick(sizes.length) | 0] as number

const withMemory = (): Module => {
  const m = new Module()
  m.memory(960, 960)
  return m
}

/** f₀ is a leaf; fᵢ calls fᵢ₋₁ twice or three times. No loop, no cycle, no table. */
const callTree = (pick: Pick, depth: number): SoundnessGuest => {
  const m = withMemory()
  const leaf = size(pick)
  let work = leaf
  let f = m.func(["i32"], ["i32"], {}, [filler(pick, leaf), get(0)])
  for (let level = 1; level < depth; level++) {
    const calls = 2 + (pick(2) | 0)
    const own = level < 8 ? pick(60) | 0 : 0
    work = work * calls + own
    const callee = f
    f = m.func(["i32"], ["i32"], level === depth - 1 ? { export: "run" } : {}, [filler(pick, own), get(0), repeat(calls, [call(callee)])])
  }
  return { family: "call tree", bytes: m.bytes(), work }
}

/** The same through a table: no callee is known. */
const indirectTree = (pick: Pick, depth: number): SoundnessGuest => {
  const m = withMemory()
  const type = m.type(["i32"], ["i32"])
  m.table("funcref", depth, depth)
  const leaf = size(pick)
  let work = leaf
  const functions = [m.func(["i32"], ["i32"], {}, [filler(pick, leaf), get(0)])]
  for (let level = 1; level < depth; level++) {
    const calls = 2 + (pick(3) | 0)
    const after = level < 10 ? size(pick) : 4
    work = work * calls + after
    functions.push(
      m.func(["i32"], ["i32"], level === depth - 1 ? { export: "run" } : {}, [
        get(0),
        repeat(calls, [i32(level - 1), callIndirect(type)]),
        set(0),
        filler(pick, after),
        get(0),
      ]),
    )
  }
  m.elem(i32(0), functions)
  return { family: "indirect tree", bytes: m.bytes(), work }
}

/** Bulk operations in a row, of lengths around one step, constant or not. */
const unrolledBulk = (pick: Pick, count: number): SoundnessGuest => {
  const m = withMemory()
  m.table("funcref", 60_000, 60_000)
  const nothing = m.func([], [], {}, [])
  m.passiveElem([nothing], true)
  let work = 0
  const out: Array<Code> = []
  for (let i = 0; i < count; i++) {
    const kind = pick(8) | 0
    const bytes = pick(3) < 1 ? 1_048_576 : (pick(60) | 0) * 1_048_576 + 500_000
    // A local hides the length from the rewriter.
    const length: Code = pick(2) < 1 ? i32(bytes) : [i32(bytes), tee(1)]
    if (kind === 0) {
      out.push(i32(0), refFunc(nothing), i32(60_000), tableFill(0))
      work += 60_000 * 100
    } else if (kind < 5) {
      out.push(i32(pick(1_000) | 0), i32(i), length, memoryFill)
      work += bytes
    } else {
      out.push(i32(pick(100_000) | 0), i32(pick(100_000) | 0), length, memoryCopy)
      work += bytes
    }
  }
  m.func(["i32"], ["i32"], { export: "run", locals: ["i32"] }, [out, get(0)])
  return { family: "unrolled bulk", bytes: m.bytes(), work }
}

/** A ring of functions that hand over by tail calls, direct and through a table. */
const tailRing = (pick: Pick, turns: number): SoundnessGuest => {
  const m = withMemory()
  const type = m.type(["i32", "i32"], ["i32"])
  const count = 2 + (pick(5) | 0)
  m.table("funcref", count, count)
  const functions: Array<number> = []
  let work = 0
  for (let i = 0; i < count; i++) {
    const own = size(pick)
    work += own
    functions.push(
      m.func(["i32", "i32"], ["i32"], i === 0 ? { export: "ring" } : {}, [
        filler(pick, own),
        get(1),
        "i32.eqz",
        iff([], [get(0), "return"]),
        get(0),
        get(1),
        i32(1),
        "i32.sub",
        i + 1 < count || pick(2) < 1 ? [i32((i + 1) % count), returnCallIndirect(type)] : returnCall(functions[0] as number),
      ]),
    )
  }
  m.elem(i32(0), functions)
  m.func(["i32"], ["i32"], { export: "run" }, [get(0), i32(turns), call(functions[0] as number)])
  return { family: "tail ring", bytes: m.bytes(), work: (work / count) * turns }
}

/** Functions that call each other twice down to a depth, with work before, between and after. */
const mutualRecursion = (pick: Pick, depth: number, small: boolean): SoundnessGuest => {
  const m = withMemory()
  const a = 0
  const b = 1
  let own = 0
  const body = (callee: number): Code => {
    const [before, between, after] = small ? [8, 8, 0] : [size(pick) >> 2, pick(100) | 0, size(pick) >> 1]
    own += before + between + after
    return [
      filler(pick, before),
      get(1),
      "i32.eqz",
      iff([], [get(0), "return"]),
      get(0),
      get(1),
      i32(1),
      "i32.sub",
      call(callee),
      set(0),
      filler(pick, between),
      get(0),
      get(1),
      i32(1),
      "i32.sub",
      call(callee),
      set(0),
      filler(pick, after),
      get(0),
    ]
  }
  m.func(["i32", "i32"], ["i32"], {}, body(b))
  m.func(["i32", "i32"], ["i32"], {}, body(a))
  m.func(["i32"], ["i32"], { export: "run" }, [get(0), i32(depth), call(a)])
  return { family: "mutual recursion", bytes: m.bytes(), work: 2 ** depth * (own / 2 + 10) }
}

/** Deep recursions whose work comes on the way out, one after another from a tree without loops. */
const unwinding = (pick: Pick, depth: number, long: boolean): SoundnessGuest => {
  const m = withMemory()
  const tails = long ? [4_900, 6_000] : [8, 40, 400, 4_900, 6_000, 14_000]
  const tail = tails[pick(tails.length) | 0] as number
  const down = m.func(["i32", "i32"], ["i32"], {}, (self) => [
    get(1),
    "i32.eqz",
    iff([], [get(0), "return"]),
    get(0),
    get(1),
    i32(1),
    "i32.sub",
    call(self),
    set(0),
    filler(pick, tail),
    get(0),
  ])
  const frames = long ? 3_600 : 2_300
  let work = frames * (tail + 10)
  let f = m.func(["i32"], ["i32"], depth === 0 ? { export: "run" } : {}, [get(0), i32(frames), call(down)])
  for (let level = 0; level < depth; level++) {
    const callee = f
    work *= 2
    f = m.func(["i32"], ["i32"], level === depth - 1 ? { export: "run" } : {}, [get(0), call(callee), call(callee)])
  }
  return { family: "unwinding", bytes: m.bytes(), work }
}

/** A state machine of nested blocks and br_table in one loop; each state's work is straight. */
const maze = (pick: Pick, turns: number): SoundnessGuest => {
  const m = withMemory()
  const states = 3 + (pick(30) | 0)
  let work = 0
  let code: Code = [get(1), i32(states), "i32.rem_u", brTable(...Array.from({ length: states }, () => pick(states) | 0), 0)]
  for (let s = 0; s < states; s++) {
    const own = size(pick) >> (pick(3) | 0)
    work += own
    // Each state falls through to the next one, some return to the loop.
    code = [block([], code), filler(pick, own), pick(4) < 1 ? [get(1), i32(1), "i32.add", tee(1), i32(turns), "i32.lt_u", brIf(states - 1 - s)] : []]
  }
  m.func(["i32"], ["i32"], { export: "run", locals: ["i32"] }, [loop([], code, get(1), i32(1), "i32.add", tee(1), i32(turns), "i32.lt_u", brIf(0)), get(0)])
  return { family: "br_table maze", bytes: m.bytes(), work: turns * (work / states) }
}

/** Straight-line bodies near the body limit, under a tree without loops. */
const giant = (pick: Pick, depth: number, bytesMax: number): SoundnessGuest => {
  const m = withMemory()
  const instructions = Math.floor(bytesMax / 3 / (1 + (pick(3) | 0)))
  const straight: Array<Code> = []
  for (let left = instructions; left > 0; left -= 4_000) {
    const piece = filler(pick, Math.min(4_000, left))
    straight.push(pick(3) < 1 ? [get(0), iff([], [piece])] : piece)
  }
  let f = m.func(["i32"], ["i32"], depth === 0 ? { export: "run" } : {}, [straight, get(0)])
  let work = instructions * 0.7
  for (let level = 0; level < depth; level++) {
    const callee = f
    work *= 2
    f = m.func(["i32"], ["i32"], level === depth - 1 ? { export: "run" } : {}, [get(0), call(callee), call(callee)])
  }
  return { family: "straight giant", bytes: m.bytes(), work }
}

/** Exceptions thrown up a few frames from the leaves of a tree without loops. */
const exceptions = (pick: Pick, depth: number): SoundnessGuest => {
  const m = withMemory()
  const tag = m.tag(["i32"])
  const own = size(pick)
  const thrower = m.func(["i32"], ["i32"], {}, [filler(pick, own), get(0), throwTag(tag)])
  const between = m.func(["i32"], ["i32"], {}, [get(0), call(thrower), set(0), filler(pick, 100), get(0)])
  let f = m.func(["i32"], ["i32"], {}, [
    block(["i32"], tryTable(["i32"], [{ tag, label: 0 }], get(0), call(between))),
    set(0),
    filler(pick, size(pick)),
    get(0),
  ])
  let work = own + 5_000
  for (let level = 0; level < depth; level++) {
    const callee = f
    work *= 2
    f = m.func(["i32"], ["i32"], level === depth - 1 ? { export: "run" } : {}, [get(0), call(callee), call(callee)])
  }
  return { family: "exceptions", bytes: m.bytes(), work }
}

/** Loops in loops, with and without work, to the plain case. */
const loops = (pick: Pick, turns: number): SoundnessGuest => {
  const m = withMemory()
  const own = size(pick)
  m.func(["i32"], ["i32"], { export: "run", locals: ["i32", "i32"] }, [
    loop(
      [],
      i32(0),
      set(2),
      loop([], filler(pick, own), get(2), i32(1), "i32.add", tee(2), i32(turns), "i32.lt_u", brIf(0)),
      get(1),
      i32(1),
      "i32.add",
      tee(1),
      i32(turns),
      "i32.lt_u",
      iff([], [br(1)]),
    ),
    get(0),
  ])
  return { family: "loops", bytes: m.bytes(), work: turns * turns * (own + 8) }
}

export const families = [
  "call tree",
  "indirect tree",
  "unrolled bulk",
  "tail ring",
  "mutual recursion",
  "unwinding",
  "br_table maze",
  "straight giant",
  "exceptions",
  "loops",
] as const
export type Family = (typeof families)[number]

/**
 * The guest of a family and seed. `endless` guests run over ten seconds plain; the others finish in a good fraction of a
 * second even where a rule is left out, so that a missing check can be shown without hanging.
 */
export function makeGuest(family: Family, seed: number, endless: boolean): SoundnessGuest {
  const pick = random(seed)
  switch (family) {
    case "call tree":
      return callTree(pick, endless ? 60 : 16)
    case "indirect tree":
      return indirectTree(pick, endless ? 60 : 12)
    case "unrolled bulk":
      return unrolledBulk(pick, endless ? 20_000 : 40)
    case "tail ring":
      return tailRing(pick, endless ? 2_000_000_000 : 20_000)
    case "mutual recursion":
      return mutualRecursion(pick, endless ? 60 : 23, !endless)
    case "unwinding":
      return unwinding(pick, endless ? 55 : 2, !endless)
    case "br_table maze":
      return maze(pick, endless ? 2_000_000_000 : 20_000)
    case "straight giant":
      return giant(pick, endless ? 40 : 4, endless ? 900_000 : 2_400_000)
    case "exceptions":
      return exceptions(pick, endless ? 50 : 8)
    case "loops":
      return loops(pick, endless ? 1_000_000 : 2_000)
  }
}
