/**
 * Zones for billing: the language of their source, the table, and every change of every zone against the system's `zic`. Where the pinned source is
 * not installed the last are skipped; where `STELE_TZDATA` names it (`.ci/run`) and there is a `zic`, they are not.
 */
import assert from "node:assert/strict"
import fc from "../property.ts"
import t from "tap"
import { Zones, shippedZones } from "../../runtime/billing/zones.ts"
import { compileZones, parseZones } from "../../runtime/build/zone-source.ts"
import { compiled, moduleOf, pinned, pinnedSource } from "../../runtime/build/zones.ts"
import { packZones, unpackZones, type ZoneOffsets } from "../../schemas/billing/zone-table.ts"
import { zonesBase64, zonesDigest } from "../../schemas/billing/zones.gen.ts"
import { Compiled, hasZic } from "./zic.ts"
import { isFull } from "../seed.ts"

t.setTimeout(240_000)

const seconds = (iso: string): number => Date.parse(iso) / 1000
const [from, until] = [0, seconds("2100-01-01T00:00:00Z")]
/** The changes of a zone as they are told: instant and hours from there on. */
const told = (source: string, name = "A/B", since = from, to = seconds("2003-01-01T00:00:00Z")): ReadonlyArray<string> => {
  const { first, changes, offsets } = compileZones(parseZones(source), since, to).get(name) as ZoneOffsets
  return [String(first / 3600), ...changes.map((at, i) => `${new Date(at * 1000).toISOString().slice(0, 16)} ${(offsets[i] as number) / 3600}`)]
}

t.test("a fixed offset, standard or with savings, up to an instant of its own clock", (t) => {
  t.same(told("Zone A/B -3:30 - LMT"), ["-3.5"])
  t.same(told("Zone A/B 1 - X 2001 Mar 4 5\n 2:00 1:00 Y 2002 # until a year's first midnight\n 0 - Z"), ["1", "2001-03-04T04:00 3", "2001-12-31T21:00 0"])
  t.same(told("Zone A/B 1 1 X 2001 Mar 4 5s\n 2 - Y"), ["2"], "the same offset by another way is no change")
  t.same(told("Zone A/B 1 1 X 2001 Mar 4 5s\n 3 - Y"), ["2", "2001-03-04T04:00 3"])
  for (const clock of ["u", "g", "z"]) t.same(told(`Zone A/B 1 1 X 2001 Mar 4 5${clock}\n 3 - Y`), ["2", "2001-03-04T05:00 3"])
  t.end()
})

t.test("rules: last and nearest weekdays, 24:00, whose clock, years without an end", (t) => {
  const zone = "\nZone A/B 1 R C%sT"
  const rules = (on: string, at: string) => `Rule R 2000 only - Mar ${on} ${at} 1 S\nRule R 2000 max - Oct 1 0 0 -${zone}`
  const march = (on: string, at: string) => told(rules(on, at))[1]
  t.equal(march("lastSun", "2"), "2000-03-26T01:00 2")
  t.equal(march("Sun>=8", "2"), "2000-03-12T01:00 2")
  t.equal(march("Sun>=12", "2"), "2000-03-12T01:00 2")
  t.equal(march("Sat<=12", "2"), "2000-03-11T01:00 2")
  t.equal(march("Sun>=29", "2"), "2000-04-02T01:00 2", "the days after may be of the next month")
  t.equal(march("lastF", "24"), "2000-03-31T23:00 2")
  t.equal(march("1", "-2:30"), "2000-02-29T20:30 2")
  t.equal(march("1", "2u"), "2000-03-01T02:00 2")
  t.same(told(rules("1", "0")).slice(2), ["2000-09-30T22:00 1"], "in winter the same rule changes nothing")
  t.same(told(`R R 2000 ma - Mar 1 2s 1 S\nR R 2000 2001 - O 1 2s 0 -${zone}`).slice(1), [
    "2000-03-01T01:00 2",
    "2000-10-01T01:00 1",
    "2001-03-01T01:00 2",
    "2001-10-01T01:00 1",
    "2002-03-01T01:00 2",
  ])
  t.end()
})

t.test("savings below zero, and two zone lines that meet within a rule's summer", (t) => {
  t.same(told("R E 2000 ma - O lastSu 1u -1 -\nR E 2000 ma - Mar lastSu 1u 0 -\nZ A/B 1 E I%sT"), [
    "1",
    "2000-10-29T01:00 0",
    "2001-03-25T01:00 1",
    "2001-10-28T01:00 0",
    "2002-03-31T01:00 1",
    "2002-10-27T01:00 0",
  ])
  const rules = "R S 1990 ma - Mar 31 0 1 S\nR S 1990 ma - O 1 0 0 -\n"
  t.same(told(`${rules}Z A/B 5 - X 2000 Jul 1\n6 S Y 2001 Jan\n6 - Y`, "A/B"), ["5", "2000-06-30T19:00 7", "2000-09-30T17:00 6"], "it begins in summer")
  t.end()
})

t.test("what is not in zic's language is refused with its line", (t) => {
  for (const [source, message] of [
    ["\nRule R 2000 only - Juu 1 0 0 -", 'Line 2: Cannot read "Juu" as one of january'],
    ["Rule R 2000 only - Ju 1 0 0 -", 'Line 1: Cannot read "Ju" as one of'],
    ["Zone A/B 1x - X", 'Line 1: Cannot read "1x" as a time'],
    ["Rule R 2000 only - Jul Sun=1 0 0 -", 'Line 1: Cannot read "Sun=1" as a day'],
    ["Rule R 2000 only - Jul 1 0 0", "Line 1: Cannot read a rule of 9 fields"],
    ["Leap 2016 Dec 31 23:59:60 + S", 'Line 1: Cannot read "Leap" as one of rule, zone, link'],
  ] as const) {
    t.throws(() => parseZones(source), { message: new RegExp(`^${RegExp.escape(message)}`) })
  }
  t.throws(() => compileZones(parseZones("Zone A/B 1 R X"), 0, 1), { message: 'Cannot find the rules "R"' })
  t.throws(() => compileZones(parseZones("Link A/B C/D"), 0, 1), { message: 'Cannot find the zone "A/B", which "C/D" is another name of' })
  t.end()
})

t.test("packZones() and unpackZones() are each other's inverse, and equal tables are equal bytes", (t) => {
  const zone = fc.array(fc.tuple(fc.integer({ min: 1, max: 1e9 }), fc.integer({ min: -60_000, max: 60_000 })), { maxLength: 20 }).map((steps): ZoneOffsets => {
    let at = 0
    return { first: steps.length * 900 - 9000, changes: steps.map(([step]) => (at += step)), offsets: steps.map(([, offset]) => offset) }
  })
  const about = { release: "2026x", source: "ab".repeat(32), from: 0, until: 4_102_444_800 }
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.string(), zone), { maxLength: 12 }), (entries) => {
      const zones = new Map(entries)
      const bytes = packZones(about, zones)
      const table = unpackZones(bytes)
      assert.deepEqual({ release: table.release, source: table.source, from: table.from, until: table.until }, about)
      assert.deepEqual(new Set(table.names), new Set(zones.keys()))
      for (const name of table.names) assert.deepEqual(table.zone(name), zones.get(name))
      assert.deepEqual(packZones(about, new Map([...zones].toReversed())), bytes)
    }),
    { numRuns: isFull ? 1000 : 50 },
  )
  t.equal(unpackZones(packZones(about, new Map())).zone("UTC"), undefined)
  t.end()
})

t.test("whatever the bytes are, unpackZones() answers or throws a RangeError", async (t) => {
  const { bytes } = await shippedZones()
  const isRefused = (damaged: Uint8Array): void => {
    try {
      const table = unpackZones(damaged)
      for (const name of table.names.slice(0, 3)) table.zone(name)
    } catch (error) {
      if (!(error instanceof RangeError)) t.fail(String(error))
    }
  }
  for (let length = 0; length < bytes.length; length += isFull ? 37 : 997) assert.throws(() => unpackZones(bytes.slice(0, length)), RangeError)
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, value) => isRefused(bytes.with(at, value))),
    { numRuns: isFull ? 20_000 : 500 },
  )
  t.throws(() => unpackZones(Uint8Array.of(...bytes, 0)), { message: "Cannot read a table of zones: it goes on after its end" })
})

t.test("shippedZones() is the table that its module names", async (t) => {
  const zones = await shippedZones()
  t.equal(zones.digest, zonesDigest)
  t.equal(zones.release, pinned.release)
  t.ok(zonesBase64.length < 150_000, "it is small enough to be loaded whole")
  t.equal(moduleOf(zones.bytes as Uint8Array<ArrayBuffer>).includes(`"${zonesBase64}"`), true)
  // Of each kind of change one that is known: the date line crossed, half an hour of savings, an offset in seconds, savings below zero, a link.
  const around = (name: string, day: string, days = 1): string => {
    const span = { start: BigInt(Date.parse(day)) * 1000n, end: BigInt(Date.parse(day) + days * 86_400_000) * 1000n }
    const { changes, offsets } = zones.zone(name)
    const found = [...changes].findIndex((at) => at * 1_000_000n >= span.start && at * 1_000_000n < span.end)
    return `${new Date(Number(changes[found]) * 1000).toISOString().slice(0, 19)} ${offsets[found]}`
  }
  t.equal(around("Pacific/Apia", "2011-12-30T00:00:00Z"), "2011-12-30T10:00:00 50400")
  t.equal(around("Pacific/Kwajalein", "1993-08-21T00:00:00Z"), "1993-08-21T12:00:00 43200")
  t.equal(around("Australia/Lord_Howe", "2024-04-06T00:00:00Z"), "2024-04-06T15:00:00 37800")
  t.equal(around("Africa/Monrovia", "1972-01-07T00:00:00Z"), "1972-01-07T00:44:30 0")
  t.equal(around("Eire", "2025-10-26T00:00:00Z"), "2025-10-26T01:00:00 0")
  t.equal(around("Africa/Casablanca", "2024-03-10T00:00:00Z"), "2024-03-10T02:00:00 0")
})

t.test("zone() gives the changes around a span, and refuses what it does not know", async (t) => {
  const zones = await shippedZones()
  const whole = zones.zone("Europe/Vienna")
  const span = { start: BigInt(Date.parse("2026-02-01")) * 1000n, end: BigInt(Date.parse("2026-12-01")) * 1000n }
  const part = zones.zone("Europe/Vienna", span)
  t.same(part, { ...whole, first: 3600, changes: BigInt64Array.of(1774746000n, 1792890000n), offsets: Int32Array.of(7200, 3600) })
  const offsetAt = ({ first, changes, offsets }: typeof whole, at: bigint) => offsets[changes.findLastIndex((change) => change <= at)] ?? first
  for (const name of ["Pacific/Apia", "America/New_York", "UTC"]) {
    const all = zones.zone(name)
    for (let start = 0n; start < 4_000_000_000n; start += 90n * 86_400n) {
      const end = start + 40n * 86_400n
      const sent = zones.zone(name, { start: start * 1_000_000n, end: end * 1_000_000n })
      for (let at = start; at <= end; at += 86_400n) if (offsetAt(sent, at) !== offsetAt(all, at)) t.fail(`${name} at ${at}`)
    }
  }
  t.throws(() => zones.zone("Europe/Viena"), { code: "STELE-BIL-0012", fix: /^name it as that database spells it: Europe\/Vienna/ })
  t.throws(() => zones.zone("Europe/Vienna", { ...span, end: BigInt(Date.parse("2100-01-02")) * 1000n }), { code: "STELE-BIL-0013" })
  t.throws(() => zones.zone("Europe/Vienna", { ...span, start: -1_000_000n }), { code: "STELE-BIL-0013" })
  t.throws(() => new Zones(new Uint8Array(3)), RangeError)
})

const source = pinnedSource()
if (source === undefined)
  t.pass("the pinned source is not installed: skipped", { skip: `pip install tzdata, release ${pinned.release}, and name its tzdata.zi in STELE_TZDATA` })
else {
  t.test("the shipped table is what the pinned source compiles to", async (t) => {
    t.equal(Buffer.compare(compiled(source), (await shippedZones()).bytes), 0)
    t.equal(parseZones(source).release, pinned.release)
  })
  if (!hasZic) t.pass("no zic: skipped", { skip: "zic is not installed" })
  else
    t.test("every change of every zone is zic's", async (t) => {
      using second = new Compiled(source)
      const zones = compileZones(parseZones(source), from, until)
      const to = seconds("2038-01-01T00:00:00Z")
      let count = 0
      const seen = new Set<ZoneOffsets>()
      for (const [name, zone] of zones) {
        const early = zone.changes.filter((at) => at < to)
        assert.deepEqual({ ...zone, changes: early, offsets: zone.offsets.slice(0, early.length) }, second.offsets(name), name)
        count += early.length
        if (!isFull || seen.has(zone)) continue
        seen.add(zone)
        const late = zone.changes.slice(early.length).map((at, i) => [at, zone.offsets[early.length + i]])
        assert.deepEqual(late, second.later(name, 2100), `${name} from 2038 on`)
      }
      t.ok(count > 20_000 && zones.size > 590, `${count} changes of ${zones.size} zones`)
    })
}
