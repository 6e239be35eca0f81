/** The asynchronous ABI of components: loaded with the first component that uses it. See `docs/adr/0033-async.md`. */
export { asyncForms } from "./forms.ts"
export { planAsync } from "./plan.ts"
