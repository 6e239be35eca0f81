/**
 * A planned plugin played by a host: what the host gives a world's imports, and a run of every export and import with
 * random values. Which host it is, is the caller's: ours, and jco's output in `jco-worker.ts`, are asked the same.
 */
import { Chooser } from "../../../runtime/author/random-value.ts"
import { memberOf, type Module, pluginSurface, type PluginSurface } from "../../../schemas/generate/assemblyscript/mod.ts"
import { type FunctionType, propertyName, type ResourceType, type ValueType } from "../../../schemas/wit/model.ts"
import { parseWit, selectWorld } from "../../../schemas/wit/parse/mod.ts"
import { sameValue } from "../arbitrary-type.ts"
import { randomWorld } from "../random-world.ts"
import { Handle, type PlannedPlugin, PluginWriter, told, Unmakeable, valueOf, withConstructors, withOwnExports } from "./plugin-writer.ts"

/** A random world with a plugin that a program wrote for it: the same for the same seed, in every thread. */
export function plannedWorld(seed: number) {
  // wasm-tools refuse flags of more than 32 labels. No world exports a function `memory`: a core module's memory has that
  // name. The host's side is in JavaScript: no class has a static function
  // `prototype`, and what has `then` is a promise.
  const features = { flagsMax: seed % 3 === 0 ? 70 : 32, levels: 2 + (seed % 3), size: 3 + (seed % 4) }
  const text = randomWorld(seed, features)
    .text.replaceAll(/\b(?:prototype|then)\b/g, "$&-x")
    .replaceAll(/\bexport memory: func/g, "export memory-x: func")
  const wit = withOwnExports(seed % 4 === 0 ? text : withConstructors(text, seed % 2 === 1))
  const resolve = parseWit(wit)
  const { full, world } = selectWorld(resolve, "the-world")
  const options = { world, name: full, notes: resolve.notes }
  const surface = pluginSurface(options)
  return { wit, full, world, options, surface, plan: new PluginWriter(surface, new Chooser(seed)).write() }
}
/** Whose choices the host's side and the calls are. */
export const choosers = (seed: number) => ({ given: new Chooser(seed + 1), calls: new Chooser(seed + 2) })

type Class = new (...args: ReadonlyArray<unknown>) => Disposable
type Body = (...args: ReadonlyArray<unknown>) => unknown
interface Received {
  readonly key: string
  readonly args: ReadonlyArray<unknown>
  readonly answer: unknown
}

/** A value whose handles, which are objects of any class, are `#`. */
function plain(value: unknown): unknown {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value
  if (value instanceof Handle || Symbol.dispose in value) return "#"
  if (Array.isArray(value)) return value.map(plain)
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]))
}

function handlesIn(value: unknown): ReadonlyArray<Disposable> {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return []
  return Symbol.dispose in value ? [value as Disposable] : Object.values(value).flatMap(handlesIn)
}
function dispose(value: unknown): void {
  for (const handle of handlesIn(value)) handle[Symbol.dispose]()
}

const keyOf = ({ full = "" }: Module, label: string): string => `${full}#${label}`
const className = (label: string): string => propertyName(label).replace(/^./, (letter) => letter.toUpperCase())

/** How a host's values look that differ from ours; handles are objects of any class. */
export interface Form {
  /** What a guest passed, in our host form. */
  received(type: ValueType, value: unknown): unknown
  /** A value in our host form as this host takes it. */
  given(type: ValueType, value: unknown): unknown
  /** The answer of an import as its implementation gives it. May throw it. */
  answer(type: ValueType, value: unknown): unknown
  /** What this host leaves of a value that a guest gives it. */
  kept(type: ValueType, value: unknown): unknown
  /** The name that a function or method has. */
  name(label: string): string
}
const same = (_: ValueType, value: unknown): unknown => value
export const ownForm: Form = { received: same, given: same, answer: same, kept: same, name: propertyName }

/** The host's side of a world: answers are random, and what it was asked is kept. */
export class Given {
  readonly imports: Record<string, unknown> = {}
  readonly received: Array<Received> = []
  readonly #classes = new Map<ResourceType, Class & { asked?: Body }>()
  /** While the test itself makes a handle, no guest asked for it. */
  readonly #making = { isOwn: false }
  readonly #surface: PluginSurface
  readonly #choose: Chooser
  readonly #form: Form

  constructor(surface: PluginSurface, choose: Chooser, form = ownForm) {
    this.#surface = surface
    this.#choose = choose
    this.#form = form
    for (const module of surface.modules) if (!module.isExport) this.#module(module)
  }

  /** A handle of the host's own. */
  make(resource: ResourceType): Disposable {
    this.#making.isOwn = true
    try {
      return new (this.classOf(resource))()
    } finally {
      this.#making.isOwn = false
    }
  }

  /** The class of a resource. `asked` answers a guest's constructor, which may refuse. */
  classOf(resource: ResourceType): Class & { asked?: Body } {
    const real = this.#surface.values.real(resource)
    const known = this.#classes.get(real)
    if (known !== undefined) return known
    const making = this.#making
    const made: Class & { asked?: Body } = class {
      constructor(...args: ReadonlyArray<unknown>) {
        const answer = making.isOwn ? undefined : made.asked?.(...args)
        // The answer of a constructor that may fail is a result.
        if (typeof answer === "object") return answer as Disposable
      }
      [Symbol.dispose](): void {}
    }
    this.#classes.set(real, made)
    return made
  }

  #body(module: Module, label: string, type: FunctionType): Body {
    return (...given) => {
      const args = this.#args(type, given)
      // An answer has the values that were made for it, also where the plugin frees what it got.
      const answer = type.result === undefined ? undefined : valueOf(type.result, this.#choose, ({ resource }) => this.make(resource))
      this.received.push({ key: keyOf(module, label), args: args.map(plain), answer: plain(answer) })
      return type.result === undefined ? undefined : this.#form.answer(type.result, answer)
    }
  }

  #args({ params }: FunctionType, args: ReadonlyArray<unknown>): ReadonlyArray<unknown> {
    return params.map(({ type }, i) => this.#form.received(type, args[i]))
  }

  #module(module: Module): void {
    const given: Record<string, unknown> = {}
    for (const [label, extern] of module.externs) {
      if (extern.kind === "resource-type") given[className(label)] = this.#classWith(module, label, extern.resource)
      if (extern.kind === "function" && memberOf(label).role === "function") given[this.#form.name(label)] = this.#body(module, label, extern)
    }
    if (module.full !== undefined) {
      if (Object.keys(given).length > 0) this.imports[module.full] = given
      return
    }
    for (const [label, extern] of module.externs) {
      if (extern.kind !== "function") continue
      const isPlain = memberOf(label).role === "function"
      this.imports[label] = isPlain ? given[this.#form.name(label)] : given
    }
  }

  #classWith(module: Module, name: string, resource: ResourceType): Class {
    const made = this.classOf(resource)
    // What is used from elsewhere has its functions there.
    if (this.#surface.values.real(resource) !== resource) return made
    for (const [label, extern] of module.externs) {
      if (extern.kind !== "function") continue
      const { role, resource: owner, label: method } = memberOf(label)
      if (owner !== name) continue
      const body = this.#body(module, label, extern)
      if (role === "constructor") {
        made.asked = (...args) => {
          if (extern.result?.kind === "result") return body(...args)
          this.received.push({ key: keyOf(module, label), args: this.#args(extern, args).map(plain), answer: "#" })
          return undefined
        }
        continue
      }
      const value = role === "static" ? body : withThis(body)
      Object.defineProperty(role === "static" ? made : made.prototype, this.#form.name(method), { value, configurable: true })
    }
    return made
  }
}

const withThis = (body: Body): Body =>
  function (this: unknown, ...args: ReadonlyArray<unknown>): unknown {
    return body(this, ...args)
  }

const whole = (value: unknown): string =>
  JSON.stringify(value, (_, part: unknown) => (typeof part === "bigint" ? `${part}n` : Number.isNaN(part) ? "NaN" : Object.is(part, -0) ? "-0" : part)) ??
  "nothing"
const json = (value: unknown): string => whole(value).slice(0, 600)

/** A loaded plugin, whoever runs it. */
export interface Player {
  /** What an export answers to arguments in our host form, in that form: a `result` with its tag. Throws when it traps. */
  call(name: string, type: FunctionType, args: ReadonlyArray<unknown>): Promise<unknown>
}
const noParams: FunctionType = { kind: "function", params: [] }
const text: FunctionType = { kind: "function", params: [], result: { kind: "string" } }

export class Run {
  readonly #player: Player
  readonly #plan: PlannedPlugin
  readonly #given: Given
  readonly #surface: PluginSurface
  readonly #choose: Chooser
  readonly #form: Form
  /** Handles of what the plugin implements, by resource. */
  readonly #pool = new Map<ResourceType, Array<unknown>>()
  readonly called = new Set<string>()
  /** What was called with what, and what came of it, in order. */
  readonly transcript: Array<string> = []

  constructor(player: Player, plan: PlannedPlugin, given: Given, surface: PluginSurface, choose: Chooser, form = ownForm) {
    this.#player = player
    this.#plan = plan
    this.#given = given
    this.#surface = surface
    this.#choose = choose
    this.#form = form
  }

  /** Twice: methods have handles then. */
  async twice(): Promise<void> {
    for (let i = 0; i < 2; i++) {
      await this.imports()
      await this.exports()
    }
  }

  async imports(): Promise<void> {
    this.#given.received.length = 0
    await this.#player.call("zz-run", noParams, [])
    const said = await this.#player.call("zz-told", text, [])
    const { received } = this.#given
    this.transcript.push(`imports ${whole(received)} told ${whole(said)}`)
    let at = 0
    let expected = ""
    for (const { args, label, module, type } of this.#plan.imports) {
      const wanted = plain(type.params.map((param, i) => this.#form.kept(param.type, args[i])))
      // Constructors ran for handles that arguments needed, too.
      while (at < received.length && !(received[at]?.key === keyOf(module, label) && sameValue(received[at]?.args, wanted))) at++
      const found = received[at++]
      if (found === undefined)
        throw new Error(`${keyOf(module, label)} was not called with ${json(wanted)}: ${json(received.filter(({ key }) => key === keyOf(module, label)))}`)
      if (type.result !== undefined) expected += `${told(type.result, found.answer)};`
    }
    if (said !== expected) throw new Error(`imports: told ${json(said)}, not ${json(expected)}`)
  }

  async exports(isChecked = true): Promise<void> {
    for (const { answer, name, type, label } of this.#plan.exports) {
      if (answer === undefined) continue
      const args = this.#args(type)
      if (args === undefined) continue
      const shown = type.params
        .slice(memberOf(label).role === "method" ? 1 : 0)
        .map((param, i, { length }) => `${told(param.type, args[type.params.length - length + i])};`)
      const result = await this.#player.call(name, type, args).catch((error: unknown) => {
        throw new Error(`${name}(${json(args.map(plain))}): ${String(error)}`, { cause: error })
      })
      const said = await this.#player.call("zz-told", text, [])
      this.called.add(name)
      this.transcript.push(`${name} ${whole(args.map(plain))} told ${whole(said)} gave ${whole(plain(result))}`)
      if (isChecked && said !== shown.join("")) throw new Error(`${name}: told ${json(said)}, not ${json(shown)}`)
      const expected = plain(type.result === undefined ? undefined : this.#form.kept(type.result, answer.val))
      if (isChecked && !sameValue(plain(result), expected)) throw new Error(`${name}: ${json(plain(result))}, not ${json(expected)}`)
      this.#keep(type.result, result)
    }
  }

  #args(type: FunctionType): ReadonlyArray<unknown> | undefined {
    this.#taken.clear()
    let args: ReadonlyArray<unknown> | undefined
    try {
      args = type.params.map((param) => valueOf(param.type, this.#choose, (handle) => this.#handle(handle)))
    } catch (error) {
      if (!(error instanceof Unmakeable)) throw error
    }
    // Handles for a value that could not be finished are nobody's.
    const used = new Set<unknown>(handlesIn(args))
    for (const one of this.#taken) if (!used.has(one)) dispose(one)
    return args
  }
  readonly #taken = new Set<unknown>()

  #handle({ kind, resource }: Extract<ValueType, { kind: "own" | "borrow" }>): unknown {
    const { values } = this.#surface
    if (!values.home(resource).isExported) return this.#given.make(resource)
    const known = this.#pool.get(values.real(resource)) ?? []
    // One stays, so that methods can be called.
    if (known.length < (kind === "own" ? 2 : 1)) throw new Unmakeable("no handle yet")
    if (kind === "borrow") return known[0]
    const given = known.pop()
    this.#taken.add(given)
    return given
  }

  /** Keeps some handles that an export returned, and gives the others back. */
  #keep(type: ValueType | undefined, value: unknown): void {
    if (type?.kind === "own" && this.#surface.values.home(type.resource).isExported) {
      const real = this.#surface.values.real(type.resource)
      const known = this.#pool.get(real) ?? []
      this.#pool.set(real, known)
      if (known.length < 4) return void known.push(value)
    }
    dispose(value)
  }
}
