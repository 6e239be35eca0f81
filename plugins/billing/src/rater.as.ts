/** One subscription's period: events in any order and again, sums, then lines. */
import { Aggregate, Events, Line, Prior, Problem, ProblemKind, Span, Subscription, Zone } from "../bindings/charging"
import { aggregateProblem, aggregateQuantity, Billing, Draft, isEarly, Level } from "./bill.as"
import { overflow } from "./convert.as"
import { clearOverflow, Exact, overflowed, powerOfTen } from "./exact.as"
import { Aggregation, Charge, MeterModel, Model, ModifierKind, Plan, PriceList, problem } from "./model.as"
import { EventSum, LevelSum, raised, Tally } from "./tally.as"
import { Piece, Term } from "./term.as"
import { Window } from "./window.as"
import { Reader, Writer } from "./bytes.as"

/** Rows of a batch. */
const batchMax = 32_768
/** Of an event in a batch. */
const eventBytes: i32 = 44
/** Bytes that may be left behind before they are collected. */
const leftMin: i32 = 4 << 20
/** Attributes and keys that a rater tells apart. */
const textsMax = 1_000_000

export class Work {
  problem: Problem | null = null
  private pieces: Array<Piece> = []
  private plans: Array<Plan> = []
  private over: i64 = 0
  private term!: Term
  private billing!: Billing
  /** For each plan and meter, all attributes together; then those of single attributes. */
  private all: Array<Tally> = []
  private single: Map<u64, Tally> = new Map<u64, Tally>()
  /** The same of what was there before, as it was billed. */
  private before: Array<Tally> = []
  private beforeSingle: Map<u64, Tally> = new Map<u64, Tally>()
  private hasBefore: bool = false
  private texts: Map<string, i32> = new Map<string, i32>()
  private names: Array<string> = []
  private window: Window = new Window()
  private isOrdered: bool = false
  private isByAttribute: StaticArray<bool>
  /** What `prior` says a level of. */
  private hasLevel: StaticArray<bool>
  /** A fold went beyond 128 bits. */
  private isBeyond: bool = false

  constructor(
    readonly list: PriceList,
    readonly amountScale: i32,
    readonly subscription: Subscription,
    readonly period: Span,
    readonly zones: Array<Zone>,
    readonly prior: Prior,
  ) {
    this.isByAttribute = new StaticArray<bool>(list.meters.length)
    this.hasLevel = new StaticArray<bool>(list.meters.length)
    this.problem = this.begin()
  }

  private begin(): Problem | null {
    const list = this.list
    const prior = this.prior
    clearOverflow()
    const term = new Term(list, this.subscription, this.zones)
    if (term.problem !== null || !term.find(this.period)) return term.problem
    this.term = term
    this.over = term.over
    this.pieces = term.pieces()
    for (let i = 0; i < this.pieces.length; i += 1) if (!this.plans.includes(this.pieces[i].plan)) this.plans.push(this.pieces[i].plan)
    this.billing = new Billing(list, this.amountScale, prior)
    if (this.billing.problem !== null) return this.billing.problem
    for (let p = 0; p < this.plans.length; p += 1) {
      const spans = this.spansOf(p)
      for (let m = 0; m < list.meters.length; m += 1) {
        const tally = new Tally(list.meters[m], p, "", spans)
        this.all.push(tally)
        const charges = this.plans[p].charges
        for (let c = 0; c < charges.length; c += 1) {
          if (charges[c].meter != m) continue
          if (charges[c].price.model == Model.percentage) tally.sums.push(new EventSum(charges[c].price))
          if (charges[c].price.model == Model.byAttribute) this.isByAttribute[m] = true
          if (charges[c].price.isByCount) tally.levels.push(new LevelSum(charges[c].price))
        }
      }
    }
    for (let m = 0; m < list.meters.length; m += 1) {
      const meter = list.meters[m]
      if (meter.isPricedByEvent || meter.aggregation == Aggregation.latest || meter.aggregation == Aggregation.timeWeighted) this.isOrdered = true
    }
    for (let i = 0; i < prior.quantities.length; i += 1) {
      const refused = this.carry(prior.quantities[i], i)
      if (refused !== null) return refused
    }
    this.hasBefore = prior.quantities.length > 0
    if (this.hasBefore) {
      for (let i = 0; i < this.all.length; i += 1) this.before.push(this.all[i].copy())
      const keys = this.single.keys()
      for (let i = 0; i < keys.length; i += 1) this.beforeSingle.set(keys[i], this.single.get(keys[i]).copy())
    }
    return overflowed ? overflow("prior") : null
  }

  /** An instant, or its date where levels are of whole days. */
  private moment(at: i64): i64 {
    return this.list.policies.isLevelOfDays ? this.term.dateOf(at) : at
  }
  private spansOf(plan: i32): Array<i64> {
    const spans = new Array<i64>(0)
    for (let i = 0; i < this.pieces.length; i += 1)
      if (this.pieces[i].plan === this.plans[plan] && !this.pieces[i].isTrial) {
        spans.push(this.moment(this.pieces[i].start))
        spans.push(this.moment(this.pieces[i].end))
      }
    return spans
  }

  /** −1 for the text `""`, which is that of what has none. */
  private text(value: string): i32 {
    if (value.length == 0) return -1
    if (this.texts.has(value)) return this.texts.get(value)
    const id = this.names.length
    this.texts.set(value, id)
    this.names.push(value)
    return id
  }
  private tallyOf(slot: i32, attribute: i32): Tally {
    const key = (<u64>slot << 32) | <u64>(<u32>attribute)
    if (this.single.has(key)) return this.single.get(key)
    const whole = this.all[slot]
    const name = attribute < 0 ? "" : this.names[attribute]
    const tally = new Tally(whole.meter, whole.plan, name, whole.spans)
    const charges = this.plans[whole.plan].charges
    const meter = slot % this.list.meters.length
    for (let c = 0; c < charges.length; c += 1) {
      if (charges[c].meter != meter || charges[c].price.model != Model.byAttribute) continue
      const price = charges[c].price.ofAttribute(name)
      if (price !== null && price.model == Model.percentage) tally.sums.push(new EventSum(price))
    }
    this.single.set(key, tally)
    return tally
  }

  // Sums

  private hasTimes(): bool {
    if (this.plans.length > 1) return true
    for (let i = 0; i < this.pieces.length; i += 1) if (this.pieces[i].isTrial) return true
    return false
  }
  private carry(aggregate: Aggregate, at: i32): Problem | null {
    const refused = aggregateProblem(this.list, aggregate, "prior/quantities", at)
    if (refused !== null) return refused
    const path = `prior/quantities/${at}`
    const meter = this.list.meters[aggregate.meter]
    if (meter.aggregation == Aggregation.unique) return problem(ProblemKind.conflict, path, `"${meter.id}" counts different ones, which a sum does not tell`)
    const isLevel = meter.aggregation == Aggregation.latest || meter.aggregation == Aggregation.timeWeighted
    if (!isLevel && this.hasTimes()) return problem(ProblemKind.conflict, path, "A sum has no time, and this period has more than one plan or the end of a trial")
    const quantity = aggregateQuantity(this.list, aggregate)
    if (isLevel) {
      if (meter.aggregation == Aggregation.latest && this.hasLevel[aggregate.meter]) return problem(ProblemKind.conflict, path, `Two levels of "${meter.id}" are no last one`)
      this.hasLevel[aggregate.meter] = true
      for (let p = 0; p < this.plans.length; p += 1) {
        const tally = this.all[p * this.list.meters.length + aggregate.meter]
        tally.level = tally.level.add(quantity)
      }
      return null
    }
    if (this.plans.length == 0) return null
    const name = aggregate.attribute === null ? "" : (aggregate.attribute as string)
    const all = this.all[aggregate.meter]
    const single = this.isByAttribute[aggregate.meter] ? this.tallyOf(<i32>aggregate.meter, this.text(name)) : all
    for (let c = 0; meter.isPricedByEvent && c < this.plans[0].charges.length; c += 1) {
      const charge = this.plans[0].charges[c]
      const isSingle = charge.price.model == Model.byAttribute
      const sum = charge.meter == <i32>aggregate.meter ? sumOf(isSingle ? single : all, charge, name) : null
      if (sum === null) continue
      for (let i = 0; i < charge.modifiers.length; i += 1)
        if (charge.modifiers[i].kind == ModifierKind.fixedDiscount)
          return problem(ProblemKind.unsupported, path, `How much of ${charge.modifiers[i].path} its events have had is not known: give the events`)
      sum.billed = this.billing.of(charge.name, isSingle ? name : null)
      if (sum.billed === null) return problem(ProblemKind.conflict, path, `What "${charge.name}" billed of it is not said, and single events decide that`)
      sum.use(aggregate.events, quantity)
    }
    this.put(all, aggregate, quantity)
    if (single !== all) this.put(single, aggregate, quantity)
    return null
  }
  private put(tally: Tally, aggregate: Aggregate, quantity: Exact): void {
    if (tally.meter.aggregation == Aggregation.count) tally.more = tally.more.add(Exact.ofU64(aggregate.events))
    else if (tally.meter.aggregation == Aggregation.sum) tally.more = tally.more.add(quantity)
    else tally.moreGreatest = tally.moreGreatest === null ? quantity : (tally.moreGreatest as Exact).max(quantity)
  }

  addAggregates(sums: Array<Aggregate>): Problem | null {
    clearOverflow()
    for (let i = 0; i < sums.length; i += 1) {
      const refused = aggregateProblem(this.list, sums[i], "sums", i)
      if (refused !== null) return refused
      const meter = this.list.meters[sums[i].meter]
      if (meter.needsEvents) return problem(ProblemKind.conflict, `sums/${i}`, `Single events of "${meter.id}" decide, which a sum does not tell`)
      if (this.hasTimes()) return problem(ProblemKind.conflict, `sums/${i}`, "A sum has no time, and this period has more than one plan or the end of a trial")
    }
    if (this.plans.length == 0) return null
    for (let i = 0; i < sums.length; i += 1) {
      const quantity = aggregateQuantity(this.list, sums[i])
      this.put(this.all[sums[i].meter], sums[i], quantity)
      const attribute = sums[i].attribute
      if (this.isByAttribute[sums[i].meter]) this.put(this.tallyOf(<i32>sums[i].meter, attribute === null ? -1 : this.text(attribute)), sums[i], quantity)
    }
    if (overflowed) this.isBeyond = true
    return null
  }

  // Events

  /** Bytes of batches and snapshots since what they leave was collected. */
  private left: i32 = 0
  /** The collector does as much as there are allocations, and these are few and large: without this they would pile up. */
  leave(bytes: i32): void {
    this.left += bytes
    // What lives is looked through each time.
    if (this.left < leftMin + 128 * this.names.length) return
    this.left = 0
    __collect()
  }
  /** Of its snapshot, about. */
  get bytes(): i32 {
    return this.window.bytes
  }

  add(batch: Events): Problem | null {
    clearOverflow()
    const rows = batch.meters.length
    if (rows > batchMax) return problem(ProblemKind.limit, "batch", `A batch has at most ${batchMax} events`)
    this.leave(rows * eventBytes)
    if (batch.at.length != rows || batch.idsHigh.length != rows || batch.idsLow.length != rows) return problem(ProblemKind.malformed, "batch", "Columns have one length")
    const hasQuantities = batch.quantities.length > 0
    const hasAttributes = batch.attributes.length > 0
    const hasKeys = batch.keys.length > 0
    if ((hasQuantities && batch.quantities.length != rows) || (hasAttributes && batch.attributes.length != rows) || (hasKeys && batch.keys.length != rows))
      return problem(ProblemKind.malformed, "batch", "Columns have one length")
    if (batch.scale > 18) return problem(ProblemKind.malformed, "batch/scale", "A scale is at most 18")
    if (this.names.length + batch.texts.length > textsMax) return problem(ProblemKind.limit, "batch/texts", `A rater tells at most ${textsMax} attributes and keys apart`)
    if (this.window.count + rows > Window.max) this.foldOlder()
    const texts = new StaticArray<i32>(batch.texts.length)
    for (let i = 0; i < texts.length; i += 1) texts[i] = this.text(batch.texts[i])
    const from = max(this.period.start, this.subscription.start)
    const to = min(this.period.end, this.over)
    const window = this.window
    const mark = window.count
    let refused: Problem | null = null
    for (let i = 0; i < rows; i += 1) {
      const meter = unchecked(batch.meters[i])
      const at = unchecked(batch.at[i])
      if (meter >= <u32>this.list.meters.length) {
        refused = problem(ProblemKind.unknownMeter, pathOf(batch, i), `There is no meter ${meter}`)
        break
      }
      if (at < from || at >= to) {
        refused = problem(ProblemKind.outsidePeriod, pathOf(batch, i), "It is outside of the period, or the subscription does not exist then")
        break
      }
      const model = this.list.meters[meter]
      let quantity: i64 = 0
      if (hasQuantities) {
        quantity = unchecked(batch.quantities[i])
        if (<i32>batch.scale != model.scale || model.increment !== null || !model.firstIncrement.isZero) {
          const value = this.scaled(quantity, batch.scale, model)
          if (value === null) {
            refused = problem(ProblemKind.exponentMismatch, pathOf(batch, i), `Its quantity has more than the ${model.scale} digits of "${model.unit}"`)
            break
          }
          if (!value.fitsI64) {
            refused = problem(ProblemKind.limit, pathOf(batch, i), `Its quantity is beyond 64 bits at the ${model.scale} digits of "${model.unit}"`)
            break
          }
          quantity = <i64>value.reduced().low
        }
      } else {
        const value = raised(Exact.one, model).coefficient(model.scale)
        if (!value.fitsI64) {
          refused = problem(ProblemKind.limit, pathOf(batch, i), `Its quantity is beyond 64 bits at the ${model.scale} digits of "${model.unit}"`)
          break
        }
        quantity = <i64>value.low
      }
      let attribute = -1
      let key = -1
      if (hasAttributes) {
        const place = unchecked(batch.attributes[i])
        if (place != u32.MAX_VALUE) {
          if (place >= <u32>texts.length) {
            refused = problem(ProblemKind.malformed, pathOf(batch, i), "Its attribute is none of the texts")
            break
          }
          attribute = texts[place]
        }
      }
      if (hasKeys) {
        const place = unchecked(batch.keys[i])
        if (place != u32.MAX_VALUE) {
          if (place >= <u32>texts.length) {
            refused = problem(ProblemKind.malformed, pathOf(batch, i), "Its key is none of the texts")
            break
          }
          key = texts[place]
        }
      }
      const added = window.add(at, unchecked(batch.idsHigh[i]), unchecked(batch.idsLow[i]), meter, quantity, attribute, key)
      if (added == 1) refused = problem(ProblemKind.conflict, pathOf(batch, i), "It came before with another quantity, attribute or key")
      else if (added == 2) refused = problem(ProblemKind.conflict, pathOf(batch, i), `It is older than the last ${Window.max} events, and those before them are rated`)
      if (added != 0) break
    }
    if (refused !== null) window.cut(mark)
    return refused
  }

  /** At the meter's scale, raised to its increments; null where it has more digits. */
  private scaled(quantity: i64, scale: i32, meter: MeterModel): Exact | null {
    let value = Exact.ofScaled(quantity >> 63, <u64>quantity, scale)
    if (!value.hasScale(meter.scale)) {
      if (!this.list.policies.isExcessRounded) return null
      value = value.rounded(new Exact(1, 0, powerOfTen(meter.scale), 0), this.list.policies.mode)
    }
    return raised(value, meter).coefficient(meter.scale)
  }

  private foldOlder(): void {
    this.window.sort()
    const half = Window.max / 2
    this.fold(half)
    this.window.drop(half)
  }
  /** Adds the first rows of the window to the tallies. */
  private fold(rows: i32): void {
    const window = this.window
    const meters = this.list.meters.length
    for (let i = 0; i < rows; i += 1) {
      const at = window.atOf(i)
      const meter = <i32>window.meterOf(i)
      const quantity = window.quantityOf(i)
      const key = window.keyOf(i)
      if (this.list.meters[meter].aggregation >= Aggregation.latest) {
        // A level that a trial, or another plan, came to goes on.
        const when = this.list.meters[meter].aggregation == Aggregation.timeWeighted ? this.moment(at) : at
        for (let p = 0; p < this.plans.length; p += 1) this.all[p * meters + meter].addEvent(when, quantity, key)
        continue
      }
      const plan = this.planOf(at)
      if (plan < 0) continue
      this.all[plan * meters + meter].addEvent(at, quantity, key)
      if (this.isByAttribute[meter]) this.tallyOf(plan * meters + meter, window.attributeOf(i)).addEvent(at, quantity, key)
    }
    if (overflowed) this.isBeyond = true
    clearOverflow()
  }
  /** The plan that usage at an instant is of; −1 within a trial. */
  private planOf(at: i64): i32 {
    for (let i = 0; i < this.pieces.length; i += 1) {
      const piece = this.pieces[i]
      if (at < piece.end) return piece.isTrial ? -1 : this.plans.indexOf(piece.plan)
    }
    return -1
  }

  // Snapshots, without what it was started with

  save(writer: Writer): void {
    writer.u32(u32(this.isBeyond))
    writer.u32(<u32>this.names.length)
    for (let i = 0; i < this.names.length; i += 1) writer.text(this.names[i])
    this.window.save(writer)
    writer.u32(<u32>this.all.length)
    for (let i = 0; i < this.all.length; i += 1) this.all[i].save(writer)
    const keys = this.single.keys()
    writer.u32(<u32>keys.length)
    for (let i = 0; i < keys.length; i += 1) {
      writer.u64(keys[i])
      this.single.get(keys[i]).save(writer)
    }
  }
  load(reader: Reader): void {
    this.isBeyond = reader.u32() != 0
    const names = reader.count(4)
    for (let i = 0; i < names && !reader.isBad; i += 1) if (this.text(reader.text()) != i) reader.isBad = true
    this.window.load(reader)
    if (reader.count(1) != this.all.length) reader.isBad = true
    for (let i = 0; i < this.all.length && !reader.isBad; i += 1) this.all[i].load(reader)
    const singles = reader.count(8)
    for (let i = 0; i < singles && !reader.isBad; i += 1) {
      const key = reader.u64()
      const slot = <i32>(key >> 32)
      const attribute = <i32>key
      if (slot < 0 || slot >= this.all.length || attribute < -1 || attribute >= this.names.length) reader.isBad = true
      else this.tallyOf(slot, attribute).load(reader)
    }
    // What is kept must be of meters that there are.
    for (let i = 0; i < this.window.count && !reader.isBad; i += 1)
      if (this.window.meterOf(i) >= <u32>this.list.meters.length || this.window.attributeOf(i) >= this.names.length) reader.isBad = true
  }

  // Lines

  lines: Array<Line> = []

  /** Makes `lines`; nothing of what was added changes. */
  finish(isLast: bool): Problem | null {
    clearOverflow()
    const all = this.all
    const single = this.single
    const isBeyond = this.isBeyond
    this.all = new Array<Tally>(0)
    for (let i = 0; i < all.length; i += 1) this.all.push(all[i].copy())
    this.single = new Map<u64, Tally>()
    const keys = single.keys()
    for (let i = 0; i < keys.length; i += 1) this.single.set(keys[i], single.get(keys[i]).copy())
    if (this.isOrdered) this.window.sort()
    this.fold(this.window.count)
    this.lines = new Array<Line>(0)
    let refused: Problem | null = this.isBeyond ? overflow("events") : null
    for (let p = 0; p < this.plans.length && refused === null; p += 1) refused = this.plan(p, isLast)
    this.all = all
    this.single = single
    this.isBeyond = isBeyond
    return refused
  }

  private plan(p: i32, isLast: bool): Problem | null {
    const plan = this.plans[p]
    let share = Exact.zero
    const pieces = new Array<Piece>(0)
    for (let i = 0; i < this.pieces.length; i += 1) {
      const piece = this.pieces[i]
      if (piece.plan !== plan) continue
      pieces.push(piece)
      if (piece.isDue) share = share.add(piece.share)
    }
    const span = new Span(pieces[0].start, pieces[pieces.length - 1].end)
    for (let c = 0; c < plan.charges.length; c += 1) {
      const charge = plan.charges[c]
      if (!isLast && charge.price.model != Model.byAttribute && !isEarly(charge, this.list, null)) continue
      let refused: Problem | null = null
      if (charge.meter < 0) {
        const draft = new Draft(this.list, charge, null, true).fixed(pieces, share, isLast)
        refused = this.push(draft, span, this.billedOf(charge, null, null, null, share))
      } else if (charge.price.model == Model.byAttribute) refused = this.attributes(p, charge, share, span, isLast)
      else {
        const slot = p * this.list.meters.length + charge.meter
        refused = this.metered(charge, null, this.all[slot], this.hasBefore ? this.before[slot] : null, share, span, isLast)
      }
      if (refused !== null) return refused
    }
    return null
  }
  private attributes(p: i32, charge: Charge, share: Exact, span: Span, isLast: bool): Problem | null {
    const slot = p * this.list.meters.length + charge.meter
    const names = new Array<string>(0)
    const keys = this.single.keys()
    for (let i = 0; i < keys.length; i += 1) {
      if (<i32>(keys[i] >> 32) != slot) continue
      const name = this.single.get(keys[i]).attribute
      if (!names.includes(name)) names.push(name)
    }
    this.billing.attributesOf(charge.name, names)
    names.sort((a, b) => i32(a > b) - i32(a < b))
    for (let i = 0; i < names.length; i += 1) {
      if (!isLast && !isEarly(charge, this.list, names[i])) continue
      const id = names[i] == "" ? -1 : this.texts.has(names[i]) ? this.texts.get(names[i]) : i32.MAX_VALUE
      const key = (<u64>slot << 32) | <u64>(<u32>id)
      const tally = this.single.has(key) ? this.single.get(key) : new Tally(this.list.meters[charge.meter], p, names[i], this.all[slot].spans)
      const before = this.hasBefore && this.beforeSingle.has(key) ? this.beforeSingle.get(key) : null
      const refused = this.metered(charge, names[i], tally, before, share, span, isLast)
      if (refused !== null) return refused
    }
    return null
  }
  private metered(charge: Charge, attribute: string | null, tally: Tally, before: Tally | null, share: Exact, span: Span, isLast: bool): Problem | null {
    let quantity = tally.quantity(this.moment(this.period.start), this.moment(this.period.end))
    if (tally.meter.aggregation == Aggregation.latest) {
      const last = this.pieces[this.pieces.length - 1]
      if (last.isTrial || last.plan !== this.plans[tally.plan]) quantity = Exact.zero
    }
    const most = tally.meter.quantityMax
    if (most !== null && quantity.abs().compare(most) > 0)
      return problem(ProblemKind.limit, `${tally.meter.path}/quantityMax`, `The quantity ${quantity.toString()} is beyond ${most.toString()}`)
    const draft = new Draft(this.list, charge, attribute, true).metered(quantity, sumOf(tally, charge, attribute), this.levelOf(tally, charge), share, isLast)
    let had: Exact | null = null
    if (before !== null && before.meter.aggregation <= Aggregation.max) had = before.quantity(this.period.start, this.period.end)
    return this.push(draft, span, this.billedOf(charge, attribute, had, before, share))
  }
  private levelOf(tally: Tally, charge: Charge): Level | null {
    const time = Exact.of(this.moment(this.period.end) - this.moment(this.period.start))
    for (let i = 0; i < tally.levels.length; i += 1)
      if (tally.levels[i].price === charge.price) return new Level(tally.levels[i].area.div(time), tally.most, tally.ending)
    return null
  }
  /** What was billed of a charge, as was said, or as it would have been. */
  private billedOf(charge: Charge, attribute: string | null, quantity: Exact | null, before: Tally | null, share: Exact): Exact {
    const said = this.billing.of(charge.name, attribute)
    if (said !== null) return said
    if (quantity === null || before === null || !isEarly(charge, this.list, attribute) || quantity.isZero) return Exact.zero
    return new Draft(this.list, charge, attribute, false).metered(quantity, sumOf(before, charge, attribute), null, share, false).rounded
  }
  private push(draft: Draft, span: Span, billed: Exact): Problem | null {
    if (draft.problem !== null) return draft.problem
    this.lines.push(draft.line(span, billed, this.amountScale))
    if (!overflowed) return null
    clearOverflow()
    return overflow(draft.charge.path)
  }
}

function sumOf(tally: Tally, charge: Charge, attribute: string | null): EventSum | null {
  const price = charge.price.ofAttribute(attribute === null ? "" : attribute)
  for (let i = 0; i < tally.sums.length; i += 1) if (tally.sums[i].price === price) return tally.sums[i]
  return null
}

const digits = "0123456789abcdef"
function hex(value: u64): string {
  let text = ""
  for (let shift = 60; shift >= 0; shift -= 4) text += digits.charAt(<i32>((value >> <u64>shift) & 15))
  return text
}
function pathOf(batch: Events, row: i32): string {
  return `event/${hex(batch.idsHigh[row])}${hex(batch.idsLow[row])}`
}
