/**
 * `stele/billing`: from stored usage records to issued invoices. What is charged is decided by the billing rules, a component
 * (`stele:billing/rules`); what is here stores, asks, numbers and books.
 */
export { type Billing, billingLimits, type BillingLimits, type BillingOptions, type KnownRate, type KnownZone, openBilling } from "./billing.ts"
export { accountOf, accountOfTenant, accounts, accountsPart, type AccountValue, putAccount } from "./account.ts"
export { addCatalogue, catalogueText, type KnownCatalogue } from "./catalogue.ts"
export {
  type AgreementValue,
  changePriceList,
  changeSubscription,
  type ChangeValue,
  dueAt,
  moveAccount,
  type PriceListChangeValue,
  subscribe,
  subscriptionOf,
  subscriptionsOf,
  type SubscriptionValue,
  type Succession,
} from "./subscription.ts"
export { draw, type Drawn, type DrawnPeriod, type Unrated } from "./draft.ts"
export {
  draftDigest,
  type Drafted,
  draftInvoice,
  drafts,
  type DraftValue,
  findInvoice,
  type InvoiceAndState,
  invoiceNumbered,
  invoiceOf,
  invoices,
  invoicesPart,
  type InvoiceValue,
  issue,
  type Issued,
  type IssueOptions,
  markOverdue,
  paidOperations,
  type StateValue,
} from "./invoice.ts"
export { type Behind, type BehindPart, usageBehind, usageBehindPart } from "./drill.ts"
export { accountUsage, type DayOfUsage, type UsageOfDays } from "./usage.ts"
export { type NotProjected, type Projection, projectionMethod, projectionOf } from "./projection.ts"
export { type EventValue, record, type Recorded } from "./event.ts"
export {
  cancelInvoice,
  creditInvoice,
  creditNotes,
  findCreditNote,
  type CreditOrder,
  type CreditPart,
  type CreditValue,
  type DrawnNote,
  type Tried,
} from "./credit.ts"
export { runBilling, type RunOptions, type RunReport, serveBilling, type ServeOptions } from "./run.ts"
export { documentNumbered, lastNumber } from "./document-number.ts"
export { namedPriceList, namedPriceLists } from "./price-list.ts"
export { type Balance, balanceOf, book, journal, type Posting, statement, type Transaction, type TrialBalance, trialBalance } from "./ledger.ts"
export { checkLedger, type LedgerFinding } from "./ledger-check.ts"
export { admissionLimits, type AdmissionOptions, cappedAdmission, type CapWarning } from "./admission.ts"
export { type Cap, type CapUse } from "./cap.ts"
export { type CallCost, costOfCall } from "./call-cost.ts"
export { type CapDrift, checkCaps, type Reserved, Reserver, type ReserverOptions, reserveLimits, useOfCap } from "./reserve.ts"
export { priceTable } from "./catalogue.ts"
export { chargeOf, dueOf, type Paid, payInvoice } from "./payment.ts"
export { type GivenShare, purchase, type PurchaseRequest, type PurchaseValue, refund, sharesOf } from "./purchase.ts"
export { type PaidOut, payOut, type PayoutDue, payoutLimits, payoutsDue } from "./payout.ts"
export { type Behaviour, type Movement, TestPayments } from "./payment-test.ts"
export type { ChargeRequest, Money, PaymentOutcome, PaymentPort, PayoutRequest, RefundRequest } from "../port/payment.ts"
export { openStores, type Stores, type StoresOptions } from "../storage/storage.ts"
export { BillingError } from "../../schemas/error/billing.ts"
export { instantText, readInstant } from "../../schemas/billing/instant.ts"
