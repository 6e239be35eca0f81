/** What of a fixed charge is due in each part of a period, as the policies of changes have it. */
import { Exact } from "./exact.as"
import { Charge, Policies } from "./model.as"
import { Piece } from "./term.as"

export class Due {
  numerator: u64
  /** How many count, where what is counted changed to a lower price that is not given back. */
  count: Exact
  constructor(
    readonly piece: Piece,
    charge: Charge,
  ) {
    this.numerator = piece.isDue ? piece.numerator : 0
    this.count = charge.isCounted ? piece.count(charge.id) : Exact.one
  }
  get isWhole(): bool {
    return this.numerator == this.piece.denominator
  }
  get share(): Exact {
    return new Exact(this.numerator, 0, this.piece.denominator, 0)
  }
}

/** Of the parts, in order, in which the charge's plan is in force. */
export function duesOf(pieces: Array<Piece>, charge: Charge, policies: Policies): Array<Due> {
  const dues = new Array<Due>(pieces.length)
  for (let i = 0; i < pieces.length; i += 1) {
    dues[i] = new Due(pieces[i], charge)
    if (!policies.areReductionsDropped || !charge.isCounted || !follows(pieces, i)) continue
    const before = dues[i - 1].count
    if (charge.price.of(dues[i].count, policies.isFeeDueAtZero, null).compare(charge.price.of(before, policies.isFeeDueAtZero, null)) < 0) dues[i].count = before
  }
  if (policies.prorationUnit == 2 || (policies.changeCharge == 0 && policies.changeCredit == 0)) return dues
  // Parts of one stretch have one number; what begins or ends it by a change says what all of it owes.
  let isFree = false
  for (let i = 0; i < dues.length; i += 1) {
    const piece = pieces[i]
    if (!piece.isDue || isSame(dues, i)) {
      if (piece.isDue && isFree) dues[i].numerator = 0
      continue
    }
    const isBegun = isDue(piece.before)
    isFree = isBegun && policies.changeCharge == 2
    if (isFree) dues[i].numerator = 0
    else if (isBegun && policies.changeCharge == 1) dues[i].numerator += piece.past
  }
  let isReturned = false
  for (let i = dues.length - 1; i >= 0; i -= 1) {
    const piece = pieces[i]
    if (!piece.isDue || (i + 1 < dues.length && isSame(dues, i + 1))) {
      if (piece.isDue && isReturned) dues[i].numerator = 0
      continue
    }
    const isEnded = isDue(piece.after)
    isReturned = isEnded && policies.changeCredit == 1
    if (isReturned) dues[i].numerator = 0
    // What was never charged has no rest that is kept.
    else if (isEnded && policies.changeCredit == 2 && !isFreeStretch(dues, i, policies)) dues[i].numerator += piece.rest
  }
  return dues
}

function isDue(piece: Piece | null): bool {
  return piece !== null && piece.isDue
}
/** Whether a due part of the same plan comes right before, which is due as well. */
function follows(pieces: Array<Piece>, at: i32): bool {
  return at > 0 && pieces[at].isDue && pieces[at - 1].isDue && pieces[at].before === pieces[at - 1]
}
/** Whether a part goes on with what the one before had. */
function isSame(dues: Array<Due>, at: i32): bool {
  if (at == 0) return false
  const piece = dues[at].piece
  const before = dues[at - 1]
  return piece.isDue && before.piece.isDue && piece.before === before.piece && dues[at].count.equals(before.count)
}
/** Whether the stretch that ends here was begun by a change that charges nothing. */
function isFreeStretch(dues: Array<Due>, at: i32, policies: Policies): bool {
  if (policies.changeCharge != 2) return false
  let first = at
  while (isSame(dues, first)) first -= 1
  return isDue(dues[first].piece.before)
}
