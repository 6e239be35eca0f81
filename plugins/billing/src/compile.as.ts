/** The text of a price list → what the rules decide by, or every mistake in it with its place. */
import { Json, JsonKind, JsonLimits } from "../../sdk/json.as"
import { Problem, ProblemKind } from "../bindings/charging"
import { some } from "../bindings/runtime"
import { currencyExponent } from "./currency.as"
import { DayCount } from "./daycount.as"
import { warningsOf } from "./lint.as"
import { clearOverflow, Exact, Mode, overflowed, powerOfTen, readDecimal } from "./exact.as"
import {
  Aggregation,
  Charge,
  IntervalUnit,
  MeterModel,
  Model,
  Modifier,
  ModifierKind,
  Overrun,
  Plan,
  Policies,
  Price,
  PriceList,
  problem,
  Tier,
} from "./model.as"

const problemsMax = 100
/** Meters, plans, charges of a plan, tiers, cases, modifiers. */
const entriesMax = 1000

const dayCounts = "actual 30 30-strict 30/360 30E/360 30E/360-ISDA actual/actual-ISDA actual/actual-AFB"
const modes = "halfAway halfEven halfOdd halfDown halfCeiling halfFloor up down ceiling floor"

function isId(text: string): bool {
  if (text.length == 0 || text.length > 64) return false
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at)
    const isPlain = <u32>(unit - 97) < 26 || <u32>(unit - 48) < 10
    if (!isPlain && (at == 0 || unit != 45)) return false
  }
  return true
}

/** A name as a part of a JSON pointer (RFC 6901). */
function token(name: string): string {
  return name.replaceAll("~", "~0").replaceAll("/", "~1")
}

/** The place of a word in a list of words; −1 where it is not there. */
function wordAt(words: string, word: string): i32 {
  return words.split(" ").indexOf(word)
}

export class Compiler {
  problems: Array<Problem> = []
  private list: PriceList = new PriceList()
  private unitNames: Array<string> = []
  private unitExponents: Array<i32> = []
  private beyondLast: bool = false
  private isNegativeAllowed: bool = false

  private say(kind: ProblemKind, path: string, message: string): void {
    if (this.problems.length < problemsMax) this.problems.push(problem(kind, path, message))
  }
  private bad(path: string, message: string): void {
    this.say(ProblemKind.malformed, path, message)
  }

  // Reading

  private object(json: Json | null, path: string, fields: string): bool {
    if (json === null || json.kind != JsonKind.object) {
      this.bad(path, "An object is expected here")
      return false
    }
    for (let i = 0; i < json.length; i += 1) {
      const name = json.nameAt(i)
      if (wordAt(fields, name) < 0 || name.includes(" ")) this.bad(`${path}/${token(name)}`, `Unknown field: those here are ${fields}`)
    }
    return true
  }
  private array(json: Json | null, path: string): Array<Json> {
    const items = new Array<Json>(0)
    if (json === null || json.kind != JsonKind.array) {
      this.bad(path, "A list is expected here")
      return items
    }
    if (json.length > entriesMax) {
      this.say(ProblemKind.limit, path, `There are ${json.length} entries, and at most ${entriesMax} are read`)
      return items
    }
    for (let i = 0; i < json.length; i += 1) items.push(json.at(i))
    return items
  }
  private text(json: Json, path: string, name: string, isNeeded: bool): string {
    const value = json.get(name)
    if (value === null) {
      if (isNeeded) this.bad(path, `"${name}" is missing`)
      return ""
    }
    if (value.kind != JsonKind.string) {
      this.bad(`${path}/${name}`, "A text is expected here")
      return ""
    }
    return value.asString
  }
  private id(json: Json, path: string, taken: Array<string>): string {
    const id = this.text(json, path, "id", true)
    if (json.get("id") === null) return id
    if (!isId(id)) this.bad(`${path}/id`, "An id is of a to z, 0 to 9 and -, begins with none of -, and has at most 64 characters")
    else if (taken.includes(id)) this.bad(`${path}/id`, `There is another "${id}"`)
    else taken.push(id)
    return id
  }
  /** One of several words; the first where there is none. */
  private word(json: Json, path: string, name: string, words: string, isNeeded: bool = false): i32 {
    const word = this.text(json, path, name, isNeeded)
    if (json.get(name) === null) return 0
    const at = wordAt(words, word)
    if (at < 0) this.bad(`${path}/${name}`, `One of ${words} is expected here`)
    return max(at, 0)
  }
  private flag(json: Json, path: string, name: string): bool {
    const value = json.get(name)
    if (value === null) return false
    if (value.kind == JsonKind.boolean) return value.asBoolean
    this.bad(`${path}/${name}`, "true or false is expected here")
    return false
  }
  private count(value: Json, path: string): i64 {
    if (value.kind == JsonKind.number && value.fitsI64 && value.asI64 >= 1 && value.asI64 <= 1_000_000_000) return value.asI64
    this.bad(path, "A whole number from 1 to 1000000000 is expected here")
    return 1
  }
  /** A decimal, or null where it is not there or is none. */
  private decimal(json: Json, path: string, name: string, isNeeded: bool = false): Exact | null {
    const value = json.get(name)
    if (value === null) {
      if (isNeeded) this.bad(path, `"${name}" is missing`)
      return null
    }
    const number = value.kind == JsonKind.string ? readDecimal(value.asString) : null
    if (number === null) this.bad(`${path}/${name}`, "A decimal as a text is expected here, with at most 18 digits after the point")
    return number
  }
  private or(value: Exact | null, otherwise: Exact): Exact {
    return value === null ? otherwise : value
  }
  /** What is charged for: not negative, unless the catalogue says that it may be. */
  private price(json: Json, path: string, name: string, isNeeded: bool = false): Exact {
    const value = this.or(this.decimal(json, path, name, isNeeded), Exact.zero)
    if (value.isNegative && !this.isNegativeAllowed) this.say(ProblemKind.negativePrice, `${path}/${name}`, `${value.toString()} is below 0: the policy "price.negative" may allow it`)
    return value
  }
  private positive(json: Json, path: string, name: string, isNeeded: bool, otherwise: Exact): Exact {
    const value = this.or(this.decimal(json, path, name, isNeeded), otherwise)
    if (value.isPositive) return value
    this.bad(`${path}/${name}`, `${value.toString()} is not above 0`)
    return otherwise
  }
  private notNegative(json: Json, path: string, name: string, isNeeded: bool): Exact {
    const value = this.or(this.decimal(json, path, name, isNeeded), Exact.zero)
    if (value.isNegative) this.bad(`${path}/${name}`, `${value.toString()} is below 0`)
    return value
  }
  /** A quantity of a meter's unit; −1 as its scale where there is no meter. */
  private fits(value: Exact | null, path: string, scale: i32): void {
    if (value !== null && scale >= 0 && !value.hasScale(scale)) this.say(ProblemKind.exponentMismatch, path, `${value.toString()} has more than the ${scale} digits of its unit`)
  }

  // The parts of a catalogue

  compile(source: string): PriceList | null {
    clearOverflow()
    const limits = new JsonLimits()
    const read = Json.parse(source, limits)
    if (read.isErr) {
      this.bad("", read.error.toString())
      return null
    }
    const root = read.value
    if (!this.object(root, "", "$schema name version title currency currencyOn units policies meters plans")) return null
    const list = this.list
    list.name = this.text(root, "", "name", true)
    list.version = this.text(root, "", "version", true)
    this.text(root, "", "title", false)
    this.units(root.get("units"))
    this.currency(root)
    this.policies(root.get("policies"))
    this.meters(root.get("meters"))
    const plans = this.array(root.get("plans"), "/plans")
    const taken = new Array<string>(0)
    for (let i = 0; i < plans.length; i += 1) this.plan(plans[i], `/plans/${i}`, taken)
    if (overflowed) this.say(ProblemKind.overflow, "", "A number is beyond 128 bits")
    if (this.problems.length > 0) return null
    list.fingerprint = fingerprintOf(source)
    list.warnings = warningsOf(list)
    clearOverflow()
    return list
  }

  private units(json: Json | null): void {
    if (json === null) return
    if (json.kind != JsonKind.object) {
      this.bad("/units", "An object is expected here")
      return
    }
    for (let i = 0; i < json.length; i += 1) {
      const name = json.nameAt(i)
      const path = `/units/${token(name)}`
      if (!isId(name)) this.bad(path, "A unit's name is an id")
      const unit = json.at(i)
      if (!this.object(unit, path, "exponent title")) continue
      this.text(unit, path, "title", false)
      const value = unit.get("exponent")
      let exponent = 0
      if (value !== null && value.kind == JsonKind.number && value.fitsI64 && value.asI64 >= 0 && value.asI64 <= 12) exponent = <i32>value.asI64
      else this.bad(`${path}/exponent`, "A whole number from 0 to 12 is expected here")
      this.unitNames.push(name)
      this.unitExponents.push(exponent)
    }
  }
  private currency(root: Json): void {
    const list = this.list
    list.currency = this.text(root, "", "currency", true)
    const on = this.text(root, "", "currencyOn", false)
    const isDay = on.length == 10 && on.charCodeAt(4) == 45 && on.charCodeAt(7) == 45
    if (on != "" && !isDay) this.bad("/currencyOn", "A day as YYYY-MM-DD is expected here")
    if (root.get("currency") === null) return
    const at = this.unitNames.indexOf(list.currency)
    list.exponent = at >= 0 ? this.unitExponents[at] : currencyExponent(list.currency, on)
    if (list.exponent >= 0) return
    list.exponent = 0
    const when = on == "" ? "" : ` on ${on}`
    this.say(ProblemKind.unknownCurrency, "/currency", `"${list.currency}" is no code of ISO 4217${when} and none of "units"`)
  }

  private policies(json: Json | null): void {
    const list = this.list
    const policies = list.policies
    let scale = list.exponent
    let increment: Exact | null = null
    if (json !== null) {
      if (json.kind != JsonKind.object) {
        this.bad("/policies", "An object is expected here")
        return
      }
      for (let i = 0; i < json.length; i += 1) {
        const name = json.nameAt(i)
        const path = `/policies/${token(name)}`
        const isText = json.at(i).kind == JsonKind.string
        const value = isText ? json.at(i).asString : ""
        if (!isText) this.bad(path, "A text is expected here")
        else if (name == "rounding.mode") policies.mode = <Mode>this.choice(path, value, modes)
        else if (name == "rounding.nil") policies.isNilNever = this.choice(path, value, "allowed never") == 1
        else if (name == "rounding.scale") scale = this.whole(path, value, 18)
        else if (name == "rounding.increment") {
          increment = readDecimal(value)
          if (increment === null || !(increment as Exact).isPositive) {
            this.say(ProblemKind.unknownPolicy, path, "A decimal above 0 is expected here")
            increment = null
          }
        } else if (name == "modifiers.rounding") policies.isEachRounded = this.choice(path, value, "line each") == 1
        else if (name == "tiers.zeroQuantity") policies.isFeeDueAtZero = this.choice(path, value, "firstTierFlatFee nothing") == 0
        else if (name == "tiers.timeWeighted") policies.isTierByCount = this.choice(path, value, "byMean byCount") == 1
        else if (name == "timeWeighted.unit") policies.isLevelOfDays = this.choice(path, value, "second day") == 1
        else if (name == "tiers.beyondLast") this.beyondLast = this.choice(path, value, "refused lastTier") == 1
        else if (name == "price.negative") this.isNegativeAllowed = this.choice(path, value, "refused allowed") == 1
        else if (name == "input.excess") policies.isExcessRounded = this.choice(path, value, "refused round") == 1
        else if (name == "proration.unit") policies.prorationUnit = this.choice(path, value, "day second none")
        else if (name == "proration.denominator")
          policies.prorationOver = value == "period" ? 0 : value == "calendarMonth" ? -1 : value == "year" ? -2 : this.days(path, value)
        else if (name == "proration.whole") policies.isWholeOne = this.choice(path, value, "counted one") == 1
        else if (name == "dayCount.convention") policies.dayCount = <DayCount>this.choice(path, value, dayCounts)
        else if (name == "change.day") policies.isChangeDayOld = this.choice(path, value, "new old") == 1
        else if (name == "change.credit") policies.changeCredit = this.choice(path, value, "prorated full none")
        else if (name == "change.charge") policies.changeCharge = this.choice(path, value, "prorated full none")
        else if (name == "change.negative") policies.areReductionsDropped = this.choice(path, value, "credited dropped") == 1
        else if (name == "schedule.firstPeriod") policies.isFirstFromNext = this.choice(path, value, "fromAnchor fromNext") == 1
        else if (name == "schedule.missingDay") policies.missingDay = this.choice(path, value, "clampKeepAnchor nextDay skip addDaysOfMonth")
        else if (!this.documents(policies, name, path, value)) this.say(ProblemKind.unknownPolicy, path, `There is no policy "${name}"`)
      }
    }
    if (policies.dayCount >= DayCount.isda && policies.prorationOver > 0)
      this.say(ProblemKind.conflict, "/policies/proration.denominator", "Fractions of a year are over no number of days: period, calendarMonth or year is expected here")
    policies.step = increment === null ? new Exact(1, 0, powerOfTen(scale), 0) : increment
  }
  /** Those of documents and allocation; false where it is none of them. */
  private documents(policies: Policies, name: string, path: string, value: string): bool {
    if (name == "allocation.remainder") policies.remainder = this.choice(path, value, "largestFraction first last cascadeFromEnd")
    else if (name == "allocation.tie") policies.isTieByKey = this.choice(path, value, "order key") == 1
    else if (name == "allocation.zero") policies.isZeroOmitted = this.choice(path, value, "kept omitted") == 1
    else if (name == "line.rounding") policies.areLinesExact = this.choice(path, value, "currency none") == 1
    else if (name == "total.rounding") policies.isTotalExact = this.choice(path, value, "parts exact") == 1
    else if (name == "tax.prices") policies.areTaxesIncluded = this.choice(path, value, "exclusive inclusive") == 1
    else if (name == "tax.inclusiveRounds") policies.inclusiveRounds = this.choice(path, value, "net tax lineNet unit")
    else if (name == "tax.unitScale") policies.unitScale = this.whole(path, value, 18)
    else if (name == "tax.roundingPoint") policies.taxPoint = this.choice(path, value, "rate document line unit")
    else if (name == "tax.roundingMode") policies.taxMode = this.choice(path, value, modes)
    else if (name == "discounts.order") policies.discountOrder = this.choice(path, value, "given amountFirst percentFirst")
    else if (name == "discounts.stacking") policies.areDiscountsAdded = this.choice(path, value, "sequential additive") == 1
    else if (name == "discounts.base") policies.areDiscountsAfterTax = this.choice(path, value, "beforeTax afterTax") == 1
    else if (name == "discounts.rounding") policies.areDiscountsRounded = this.choice(path, value, "none currency") == 1
    else if (name == "credits.base") policies.areCreditsBeforeTax = this.choice(path, value, "afterTax beforeTax") == 1
    else if (name == "credits.unused") policies.mustCreditsBeUsed = this.choice(path, value, "kept error") == 1
    else if (name == "creditNote.limit") policies.isNoteOfPaid = this.choice(path, value, "invoiced paid") == 1
    else if (name == "creditNote.excess") policies.isNoteCut = this.choice(path, value, "refused cut") == 1
    else if (name == "payable.mode") policies.payableMode = this.choice(path, value, modes)
    else if (name == "payable.increment") {
      const increment = readDecimal(value)
      if (increment === null || !increment.isPositive) this.say(ProblemKind.unknownPolicy, path, "A decimal above 0 is expected here")
      else policies.payableStep = increment
    } else return false
    return true
  }
  private choice(path: string, value: string, words: string): i32 {
    const at = wordAt(words, value)
    if (at < 0) this.say(ProblemKind.unknownPolicy, path, `"${value}" is none of ${words}`)
    return max(at, 0)
  }
  /** A number of days to share by: something, and not nothing. */
  private days(path: string, value: string): i32 {
    const number = readDecimal(value)
    if (number !== null && number.isZero) this.bad(path, "Nothing is no part of 0 days: a whole number from 1 to 100000 is expected here")
    return max(this.whole(path, value, 100_000), 1)
  }
  private whole(path: string, value: string, most: i32): i32 {
    const number = readDecimal(value)
    if (number !== null && !number.isNegative && number.isWhole && number.compare(Exact.of(most)) <= 0) return <i32>number.low
    this.say(ProblemKind.unknownPolicy, path, `A whole number up to ${most} is expected here`)
    return 0
  }

  private meters(json: Json | null): void {
    const items = this.array(json, "/meters")
    const taken = new Array<string>(0)
    for (let i = 0; i < items.length; i += 1) {
      const path = `/meters/${i}`
      const item = items[i]
      if (!this.object(item, path, "id title unit aggregation event where value attribute key firstIncrement increment quantityMax")) continue
      const id = this.id(item, path, taken)
      this.text(item, path, "title", false)
      this.text(item, path, "value", false)
      this.text(item, path, "attribute", false)
      this.text(item, path, "key", false)
      const unit = this.text(item, path, "unit", true)
      const at = this.unitNames.indexOf(unit)
      if (at < 0 && item.get("unit") !== null) this.say(ProblemKind.unknownUnit, `${path}/unit`, `"${unit}" is none of "units"`)
      const aggregation = this.word(item, path, "aggregation", "sum count max unique latest timeWeighted", true)
      const meter = new MeterModel(id, unit, at < 0 ? 0 : this.unitExponents[at], <Aggregation>aggregation, path)
      if (item.get("event") !== null) meter.event = this.text(item, path, "event", true)
      this.where(meter, item.get("where"), `${path}/where`)
      if (item.get("increment") !== null) meter.increment = this.positive(item, path, "increment", true, Exact.one)
      meter.firstIncrement = this.notNegative(item, path, "firstIncrement", false)
      if (item.get("quantityMax") !== null) meter.quantityMax = this.positive(item, path, "quantityMax", true, Exact.one)
      this.fits(meter.increment, `${path}/increment`, meter.scale)
      this.fits(meter.firstIncrement, `${path}/firstIncrement`, meter.scale)
      this.list.meters.push(meter)
    }
  }
  private where(meter: MeterModel, json: Json | null, path: string): void {
    if (json === null) return
    if (json.kind != JsonKind.object) {
      this.bad(path, "An object is expected here")
      return
    }
    for (let i = 0; i < json.length; i += 1) {
      const value = json.at(i)
      const values = new Array<string>(0)
      if (value.kind == JsonKind.string) values.push(value.asString)
      else if (value.kind == JsonKind.array) {
        for (let j = 0; j < value.length; j += 1) {
          if (value.at(j).kind == JsonKind.string) values.push(value.at(j).asString)
          else this.bad(`${path}/${token(json.nameAt(i))}/${j}`, "A text is expected here")
        }
      } else this.bad(`${path}/${token(json.nameAt(i))}`, "A text or a list of texts is expected here")
      meter.whereNames.push(json.nameAt(i))
      meter.whereValues.push(values)
    }
  }

  private plan(json: Json, path: string, taken: Array<string>): void {
    if (!this.object(json, path, "id title interval align charges")) return
    const id = this.id(json, path, taken)
    const plan = new Plan(id, json.get("title") === null ? id : this.text(json, path, "title", false), path)
    const interval = json.get("interval")
    if (this.object(interval, `${path}/interval`, "unit count") && interval !== null) {
      plan.unit = <IntervalUnit>this.word(interval, `${path}/interval`, "unit", "day week month quarter year", true)
      const count = interval.get("count")
      if (count === null) this.bad(`${path}/interval`, '"count" is missing')
      else plan.count = <i32>this.count(count, `${path}/interval/count`)
      if (plan.count > 1000) {
        this.say(ProblemKind.limit, `${path}/interval/count`, "An interval has at most 1000 units")
        plan.count = 1000
      }
    }
    plan.isCalendar = this.word(json, path, "align", "anchor calendar") == 1
    const charges = this.array(json.get("charges"), `${path}/charges`)
    const ids = new Array<string>(0)
    for (let i = 0; i < charges.length; i += 1) this.charge(plan, charges[i], `${path}/charges/${i}`, ids)
    this.list.plans.push(plan)
  }

  private charge(plan: Plan, json: Json, path: string, taken: Array<string>): void {
    if (!this.object(json, path, "id title taxCategory meter counted price modifiers when overage")) return
    const charge = new Charge(this.id(json, path, taken), path)
    charge.name = `${plan.id}/${charge.id}`
    charge.title = json.get("title") === null ? charge.id : this.text(json, path, "title", false)
    charge.taxCategory = this.text(json, path, "taxCategory", false)
    charge.isCounted = this.flag(json, path, "counted")
    charge.isInArrears = this.word(json, path, "when", "advance arrears") == 1
    let scale = -1
    let meter: MeterModel | null = null
    if (json.get("meter") !== null) {
      const name = this.text(json, path, "meter", false)
      for (let i = 0; i < this.list.meters.length; i += 1)
        if (this.list.meters[i].id == name) {
          charge.meter = i
          meter = this.list.meters[i]
          scale = this.list.meters[i].scale
        }
      if (charge.meter < 0) {
        this.say(ProblemKind.unknownMeter, `${path}/meter`, `"${name}" is none of "meters"`)
        charge.meter = 0
      }
      charge.meterNumber = some<u32>(<u32>charge.meter)
      if (charge.isCounted) this.bad(`${path}/counted`, "A charge of a meter is not counted")
      if (json.get("when") !== null) this.bad(`${path}/when`, "A charge of a meter is always in arrears")
    }
    charge.price = this.model(json.get("price"), `${path}/price`, charge, meter, scale, false)
    if (charge.price.hasEvents && meter !== null) meter.isPricedByEvent = true
    const isOfTiers = (charge.price.model == Model.graduated || charge.price.model == Model.volume) && !charge.price.isOfBlocks
    charge.price.isByCount = this.list.policies.isTierByCount && isOfTiers && meter !== null && meter.aggregation == Aggregation.timeWeighted
    this.modifiers(charge, json.get("modifiers"), `${path}/modifiers`, scale)
    const overage = json.get("overage")
    if (overage !== null && this.object(overage, `${path}/overage`, "upTo policy")) {
      charge.overrunUpTo = this.notNegative(overage, `${path}/overage`, "upTo", true)
      this.fits(charge.overrunUpTo, `${path}/overage/upTo`, scale)
      charge.overrun = <Overrun>(1 + this.word(overage, `${path}/overage`, "policy", "block bill warn", true))
      if (charge.meter < 0) this.bad(`${path}/overage`, "Only a charge of a meter has an overage")
      if (charge.price.hasEvents && charge.overrun == Overrun.block)
        this.say(ProblemKind.unsupported, `${path}/overage/policy`, '"block" is not offered with the model "percentage"')
      if (charge.price.isByCount && charge.overrun == Overrun.block)
        this.say(ProblemKind.unsupported, `${path}/overage/policy`, '"block" is not offered where "tiers.timeWeighted" is "byCount"')
    }
    plan.charges.push(charge)
  }

  private model(json: Json | null, path: string, charge: Charge, meter: MeterModel | null, scale: i32, isCase: bool): Price {
    const nothing = new Price(Model.unset, path)
    if (json === null || json.kind != JsonKind.object) {
      this.bad(path, "A price is expected here")
      return nothing
    }
    const name = this.text(json, path, "model", true)
    if (json.get("model") === null) return nothing
    const allowed =
      charge.meter >= 0
        ? "unit graduated volume package blocks percentage graduatedPercentage passThrough capacity unset byAttribute"
        : charge.isCounted
          ? "seat unit graduated volume package blocks unset"
          : "flat unset"
    const at = wordAt(allowed, name)
    if (at < 0 || name.includes(" ")) {
      const isKnown = wordAt("flat seat unit graduated volume package blocks percentage graduatedPercentage passThrough capacity byAttribute unset", name) >= 0
      this.say(isKnown ? ProblemKind.malformed : ProblemKind.unsupported, `${path}/model`, `"${name}" is none of the models here: ${allowed}`)
      return nothing
    }
    if (name == "flat") {
      this.object(json, path, "model amount")
      const price = new Price(Model.flat, path)
      price.amount = this.price(json, path, "amount", true)
      return price
    }
    if (name == "unit" || name == "seat" || name == "passThrough" || name == "package" || name == "capacity") return this.simple(name, json, path, meter, scale)
    if (name == "graduated" || name == "volume" || name == "graduatedPercentage") {
      this.object(json, path, "model tiers")
      const price = new Price(name == "volume" ? Model.volume : Model.graduated, path)
      price.tiers = this.tiers(json.get("tiers"), `${path}/tiers`, scale, name == "graduatedPercentage")
      return price
    }
    if (name == "blocks") return this.blocks(json, path, scale)
    if (name == "percentage") return this.percentage(json, path, meter, scale)
    if (name == "byAttribute") {
      const price = new Price(Model.byAttribute, path)
      if (isCase) this.say(ProblemKind.unsupported, `${path}/model`, "A case has no cases")
      else this.cases(price, json, path, charge, meter, scale)
      return price
    }
    this.object(json, path, "model")
    return nothing
  }

  private simple(name: string, json: Json, path: string, meter: MeterModel | null, scale: i32): Price {
    const price = new Price(name == "capacity" ? Model.capacity : Model.unit, path)
    const tier = new Tier(null, path)
    price.tiers.push(tier)
    if (name == "seat") this.object(json, path, "model price")
    else if (name == "passThrough") this.object(json, path, "model multiplier")
    else if (name == "package") this.object(json, path, "model size price")
    else if (name == "unit") this.object(json, path, "model price per")
    else this.object(json, path, "model price per committed")
    tier.price = this.price(json, path, name == "passThrough" ? "multiplier" : "price", true)
    if (name == "package") tier.size = this.positive(json, path, "size", true, Exact.one)
    if (json.get("per") !== null) tier.per = this.positive(json, path, "per", false, Exact.one)
    if (name != "capacity") return price
    price.committed = this.notNegative(json, path, "committed", false)
    this.fits(price.committed, `${path}/committed`, scale)
    if (meter !== null && meter.aggregation != Aggregation.max) this.bad(`${path}/model`, 'A meter that "capacity" prices has the aggregation "max"')
    return price
  }

  private tiers(json: Json | null, path: string, scale: i32, isPercent: bool): Array<Tier> {
    const items = this.array(json, path)
    const tiers = new Array<Tier>(0)
    if (json !== null && json.kind == JsonKind.array && items.length == 0) this.bad(path, "At least one tier is expected here")
    let lower: Exact | null = Exact.zero
    for (let i = 0; i < items.length; i += 1) {
      const place = `${path}/${i}`
      const item = items[i]
      if (!this.object(item, place, isPercent ? "from upTo percent flatFee" : "from upTo price per size flatFee")) continue
      const upTo = this.bound(item, place, scale)
      const isUnbounded = upTo === null || (this.beyondLast && i == items.length - 1)
      const from = this.decimal(item, place, "from")
      if (lower === null) this.say(ProblemKind.tierUnreachable, place, "Nothing is beyond the tier before, which has no bound")
      else {
        if (from !== null && from.compare(lower) > 0)
          this.say(ProblemKind.tiersGap, `${place}/from`, `Quantities above ${lower.toString()} up to ${from.toString()} belong to no tier`)
        if (from !== null && from.compare(lower) < 0)
          this.say(ProblemKind.tiersOverlap, `${place}/from`, `Quantities above ${from.toString()} up to ${lower.toString()} belong to two tiers`)
        if (upTo !== null && upTo.compare(lower) <= 0)
          this.say(ProblemKind.tierUnreachable, `${place}/upTo`, `No quantity is above ${lower.toString()} and not above ${upTo.toString()}`)
      }
      const tier = new Tier(isUnbounded ? null : upTo, place)
      if (isPercent) tier.price = this.price(item, place, "percent").div(Exact.hundred)
      else tier.price = this.price(item, place, "price")
      if (item.get("per") !== null) tier.per = this.positive(item, place, "per", false, Exact.one)
      if (item.get("size") !== null) {
        tier.size = this.positive(item, place, "size", false, Exact.one)
        if (item.get("per") !== null) this.bad(`${place}/per`, 'A price is for a number of units or for a package: "per" or "size"')
      }
      tier.flatFee = this.price(item, place, "flatFee")
      if (i == items.length - 1 && !isUnbounded && upTo !== null)
        this.say(ProblemKind.tiersGap, `${place}/upTo`, `Quantities above ${upTo.toString()} belong to no tier: the last bound is null`)
      lower = lower === null || upTo === null ? null : upTo.max(lower)
      tiers.push(tier)
    }
    return tiers
  }
  private bound(item: Json, path: string, scale: i32): Exact | null {
    const value = item.get("upTo")
    if (value === null) {
      this.bad(path, '"upTo" is missing')
      return null
    }
    if (value.isNull) return null
    const bound = this.decimal(item, path, "upTo")
    this.fits(bound, `${path}/upTo`, scale)
    return bound
  }

  private blocks(json: Json, path: string, scale: i32): Price {
    this.object(json, path, "model mode tiers")
    const price = new Price(this.word(json, path, "mode", "through reached", true) == 1 ? Model.volume : Model.graduated, path)
    price.isOfBlocks = true
    const items = this.array(json.get("tiers"), `${path}/tiers`)
    if (items.length == 0) this.bad(`${path}/tiers`, "At least one tier is expected here")
    let lower = Exact.zero
    for (let i = 0; i < items.length; i += 1) {
      const place = `${path}/tiers/${i}`
      const item = items[i]
      if (!this.object(item, place, "size count price")) continue
      const size = this.positive(item, place, "size", true, Exact.one)
      this.fits(size, `${place}/size`, scale)
      const count = item.get("count")
      const isLast = i == items.length - 1
      if (count === null) this.bad(place, '"count" is missing')
      const isUnbounded = count !== null && count.isNull
      if (isUnbounded && !isLast) this.say(ProblemKind.tierUnreachable, `${path}/tiers/${i + 1}`, "Nothing is beyond the tier before, which has no bound")
      if (count !== null && !isUnbounded) {
        lower = lower.add(size.times(this.count(count, `${place}/count`)))
        if (isLast && !this.beyondLast) this.say(ProblemKind.tiersGap, `${place}/count`, `Quantities above ${lower.toString()} belong to no tier: the last count is null`)
      }
      const tier = new Tier(isUnbounded || isLast ? null : lower, place)
      tier.size = size
      tier.price = this.price(item, place, "price", true)
      price.tiers.push(tier)
    }
    return price
  }

  private percentage(json: Json, path: string, meter: MeterModel | null, scale: i32): Price {
    this.object(json, path, "model percent fixedFee minimum maximum freeEvents freeAmount")
    const price = new Price(Model.percentage, path)
    price.rate = this.price(json, path, "percent", true).div(Exact.hundred)
    price.fixedFee = this.price(json, path, "fixedFee")
    price.minimum = this.decimal(json, path, "minimum")
    price.maximum = this.decimal(json, path, "maximum")
    const minimum = price.minimum
    const maximum = price.maximum
    if (minimum !== null && maximum !== null && minimum.compare(maximum) > 0) this.bad(`${path}/minimum`, "The minimum is above the maximum")
    const events = json.get("freeEvents")
    if (events !== null) price.freeEvents = this.count(events, `${path}/freeEvents`)
    if (json.get("freeAmount") !== null) price.freeAmount = this.notNegative(json, path, "freeAmount", true)
    this.fits(price.freeAmount, `${path}/freeAmount`, scale)
    if (meter !== null && meter.aggregation != Aggregation.sum) this.bad(`${path}/model`, 'A meter that "percentage" prices has the aggregation "sum"')
    return price
  }

  private cases(price: Price, json: Json, path: string, charge: Charge, meter: MeterModel | null, scale: i32): void {
    this.object(json, path, "model cases otherwise")
    const items = this.array(json.get("cases"), `${path}/cases`)
    for (let i = 0; i < items.length; i += 1) {
      const place = `${path}/cases/${i}`
      if (!this.object(items[i], place, "value price")) continue
      const value = this.text(items[i], place, "value", true)
      if (price.values.includes(value)) this.bad(`${place}/value`, `There is another case of "${value}"`)
      price.values.push(value)
      price.cases.push(this.model(items[i].get("price"), `${place}/price`, charge, meter, scale, true))
    }
    const otherwise = json.get("otherwise")
    if (otherwise !== null) price.otherwise = this.model(otherwise, `${path}/otherwise`, charge, meter, scale, true)
    if (meter !== null && meter.aggregation >= Aggregation.latest)
      this.say(ProblemKind.unsupported, `${path}/model`, '"byAttribute" is not offered for levels, which are one for all')
  }

  private modifiers(charge: Charge, json: Json | null, path: string, scale: i32): void {
    if (json === null) return
    const items = this.array(json, path)
    let isOfAmounts = false
    for (let i = 0; i < items.length; i += 1) {
      const place = `${path}/${i}`
      const item = items[i]
      if (item.kind != JsonKind.object) {
        this.bad(place, "An object is expected here")
        continue
      }
      const kind = <ModifierKind>this.word(item, place, "modifier", "allowance usageDiscount percentDiscount fixedDiscount maximum minimum commitment", true)
      const isPercent = kind == ModifierKind.usageDiscount || kind == ModifierKind.percentDiscount
      const name = kind == ModifierKind.allowance ? "quantity" : isPercent ? "percent" : "amount"
      const isShortfall = kind == ModifierKind.minimum || kind == ModifierKind.commitment
      this.object(item, place, isPercent ? "modifier percent" : `modifier ${name} prorate${isShortfall ? " base" : ""}`)
      let value = this.notNegative(item, place, name, true)
      if (isPercent) {
        if (value.compare(Exact.hundred) > 0) this.bad(`${place}/percent`, "More than 100 percent is no discount")
        value = Exact.hundred.sub(value).div(Exact.hundred)
      }
      const isOfQuantity = kind == ModifierKind.allowance || kind == ModifierKind.usageDiscount
      if (kind == ModifierKind.allowance) this.fits(value, `${place}/quantity`, scale)
      if (isOfQuantity && isOfAmounts) this.bad(place, "What changes the quantity stands before what changes the amount")
      if (isOfQuantity && charge.price.hasEvents) this.bad(place, 'The model "percentage" has "freeEvents" and "freeAmount" instead')
      if (isOfQuantity && charge.price.isByCount) this.say(ProblemKind.unsupported, place, 'What lowers the mean is not offered where "tiers.timeWeighted" is "byCount"')
      if (isOfQuantity && charge.meter < 0) this.bad(place, "Only a charge of a meter has a quantity to be lowered")
      isOfAmounts = isOfAmounts || !isOfQuantity
      const isBefore = isShortfall && this.word(item, place, "base", "afterDiscounts beforeDiscounts") == 1
      charge.modifiers.push(new Modifier(kind, place, value, this.flag(item, place, "prorate"), isBefore))
    }
  }
}

/** FNV-1a of 64 bits, by which a snapshot knows its catalogue. */
function fingerprintOf(source: string): u64 {
  let hash: u64 = 0xcbf29ce484222325
  for (let at = 0; at < source.length; at += 1) hash = (hash ^ <u64>source.charCodeAt(at)) * 0x100000001b3
  return hash
}
