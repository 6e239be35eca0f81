/** Price lists for tests of billing. */
const month = { unit: "month", count: 1 }

/** A price for each way a meter is counted: summed up, by attribute, event by event, as a level. */
export const mixed = JSON.stringify({
  name: "mixed",
  version: "1",
  currency: "EUR",
  units: { call: { exponent: 0 }, ms: { exponent: 3 }, gpu: { exponent: 2 }, seat: { exponent: 0 }, gb: { exponent: 3 } },
  meters: [
    { id: "calls", unit: "call", aggregation: "sum", event: "call", attribute: "outcome" },
    { id: "time", unit: "ms", aggregation: "sum", event: "call", value: "milliseconds", where: { outcome: "ok" } },
    { id: "peak", unit: "gb", aggregation: "max", event: "call", value: "gb" },
    { id: "plugins", unit: "call", aggregation: "unique", event: "call", key: "export" },
    { id: "gpu", unit: "gpu", aggregation: "sum", event: "gpu-hours", value: "hours" },
    { id: "payments", unit: "gpu", aggregation: "sum", event: "payment" },
    { id: "stored", unit: "gb", aggregation: "timeWeighted", event: "stored" },
  ],
  plans: [
    {
      id: "small",
      interval: month,
      align: "calendar",
      charges: [
        { id: "base", title: "Small", price: { model: "flat", amount: "10" } },
        { id: "seats", price: { model: "seat", price: "3" }, counted: true },
        {
          id: "calls",
          meter: "calls",
          price: { model: "byAttribute", cases: [{ value: "ok", price: { model: "unit", price: "0.01" } }], otherwise: { model: "unit", price: "0" } },
        },
        { id: "time", meter: "time", price: { model: "unit", price: "0.002", per: "1000" } },
        { id: "peak", meter: "peak", price: { model: "capacity", price: "1" } },
        { id: "plugins", meter: "plugins", price: { model: "unit", price: "0.5" } },
        {
          id: "gpu",
          meter: "gpu",
          price: {
            model: "graduated",
            tiers: [
              { upTo: "10", price: "2" },
              { upTo: null, price: "1" },
            ],
          },
        },
        { id: "payments", meter: "payments", price: { model: "percentage", percent: "1.5", fixedFee: "0.1", freeEvents: 2 } },
        { id: "stored", meter: "stored", price: { model: "unit", price: "0.3" } },
      ],
    },
    { id: "large", interval: month, align: "calendar", charges: [{ id: "base", price: { model: "flat", amount: "100" } }] },
  ],
})
