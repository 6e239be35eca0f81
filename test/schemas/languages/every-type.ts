/** Calls a component of `../assemblyscript/world.wit` with values of every type: what goes in comes out, and nothing stays. */
import type { Test } from "tap"
import { Host } from "../../../host/host.ts"
import type { ProvidedInterface } from "../../../host/link/link.ts"

/** What the plugin is given. `said` is what it did with it. */
function given(said: Array<unknown>) {
  class Bucket {
    readonly name: string
    constructor(name: string) {
      this.name = name
    }
    get(key: string): unknown {
      if (key === "denied") return { tag: "err", val: { tag: "denied", val: "no" } }
      return { tag: "ok", val: key === "none" ? undefined : Uint8Array.of(1, 2) }
    }
    set(key: string, value: Uint8Array): void {
      said.push(["set", this.name, key, [...value]])
    }
    static open(name: string): unknown {
      return { tag: "ok", val: new Bucket(name) }
    }
  }
  const store = { Bucket, bucket: Bucket, merge: (a: Bucket, b: Bucket, names: ReadonlyArray<string>) => (said.push(["merge", a.name, b.name, names]), 7) }
  const imports = { "acme:all/store": store, note: (line: string) => said.push(line) } as unknown as Readonly<Record<string, ProvidedInterface>>
  return { Bucket, imports }
}

/** `calls` is how many calls with much memory are made at the end, whose memory must stay what it was after `warm` of them. */
export async function everyType(t: Test, component: Uint8Array, calls: number, warm = 300): Promise<void> {
  const said: Array<unknown> = []
  const { Bucket, imports } = given(said)
  await using host = await Host.open()
  const plugin = await host.load(component, { metering: "off", instances: { reuse: "principal" }, imports })
  const call = async (name: string, ...args: ReadonlyArray<unknown>): Promise<unknown> => {
    const { result, usage } = await plugin.callWithUsage(`acme:all/api@1.0.0#${name}`, args)
    t.equal(usage.handlesLeft, undefined, `${name} leaves no handle`)
    return result
  }
  const point = { x: 1.5, y: 2.5, label: "lbl", n: 3 }
  const bare = { ...point, label: undefined, n: undefined }
  const perms = { read: true, write: false, x3: false, x4: false, x5: false, x6: false, x7: false, x8: false, x9: true }
  const shapes = [
    { tag: "empty" },
    { tag: "circle", val: 2.25 },
    { tag: "poly", val: [point, bare] },
    { tag: "poly", val: [] },
    { tag: "named", val: "zoë😀\0" },
    { tag: "named", val: "" },
    { tag: "pair", val: [200, -5n] },
  ]
  for (const shape of shapes) t.strictSame(await call("echo", shape, point, "default", perms), [shape, point, "default", perms], shape.tag)
  const some = { tag: "some", val: undefined }
  const many = await call("many", 1, -2, 3n, 1.5, 2.5, "😀", true, "h", ["a", "bb"], Float64Array.of(9, 8), some, { tag: "err", val: "e" }, { tag: "ok" }, [
    5,
    "t",
  ])
  const line = ["1 -2 3 1.5 2.5 128512 true 2 true false true 5 t", 9]
  t.strictSame(many, [["h", 2], ["a", 0], ["bb", 1], line], "parameters that go through memory")
  t.equal(await call("res", { tag: "ok", val: BigUint64Array.of(77n) }), 77)
  t.equal(await call("res", { tag: "ok", val: BigUint64Array.of() }), undefined)
  const own = await plugin.call("acme:all/api@1.0.0#res", [{ tag: "err", val: { tag: "denied", val: "no" } }]).catch((error: unknown) => error)
  t.match(own, { reason: { payload: { tag: "denied", val: "no" } } })
  t.strictSame(await call("lend", new Bucket("l"), "k"), Uint8Array.of(1, 2))
  for (const key of ["none", "denied"]) t.equal(await call("lend", new Bucket("l"), key), undefined)
  const variants = [{ tag: "e" }, { tag: "a", val: 0.5 }, { tag: "d", val: -3.25 }, { tag: "b", val: 2n ** 63n }, { tag: "c", val: "" }, { tag: "c", val: "x" }]
  for (const variant of variants) t.strictSame(await call("flat", undefined, variant), variant, `joined flat values of ${variant.tag}`)
  t.strictSame(await call("flat", 1.5, { tag: "e" }), { tag: "a", val: 1.5 })

  const [a, b] = [await call("[constructor]counter", 5), await call("[constructor]counter", 6)]
  t.equal(await call("[method]counter.increment", a, 4), 9)
  const merged = await call("[static]counter.merge", a, b)
  t.equal(await call("[method]counter.increment", merged, 1), 16)
  for (const resource of [b, merged]) (resource as Disposable)[Symbol.dispose]()

  const { result, usage: ran } = await plugin.callWithUsage("run", [])
  t.equal(result, "ran 7")
  t.equal(ran.handlesLeft, undefined, "run leaves no handle")
  t.strictSame(said, ["running", ["set", "x", "k", [1, 2, 3]], ["merge", "x", "y", ["p", "q"]]])
  const bytes = async (): Promise<number> => (await plugin.callWithUsage("run", [])).usage.memoryPeakBytes
  const long = "x".repeat(500)
  const much = async (n: number): Promise<void> => {
    for (let i = 0; i < n; i++) {
      await plugin.call("acme:all/api@1.0.0#echo", [{ tag: "poly", val: [{ ...point, label: long }, point] }, point, "mid", perms])
      await plugin.call("acme:all/api@1.0.0#lend", [new Bucket("l"), "k"])
    }
  }
  await much(warm)
  const before = await bytes()
  await much(calls - warm)
  t.equal(await bytes(), before, "nothing leaks")
}
