import { family, reason } from "./family.ts"

/** What went wrong with a plugin's instances: too many calls wait for one, or what they start from cannot be made or replaced. */
export class PoolError extends family("PoolError", {
  QueueFull: reason<{ readonly export: string; readonly limit: number }>({
    code: "STELE-POL-0001",
    status: 503,
    exit: 7,
    isRetryable: true,
    message: (d) => `Cannot call "${d.export}": every instance is busy and ${d.limit} calls wait already`,
    fix: () => "call again later, or raise instances.max or instances.queue",
  }),
  Replacing: reason<{ readonly plugin: string }>({
    code: "STELE-POL-0002",
    status: 409,
    exit: 6,
    isRetryable: true,
    message: (d) => `Cannot replace "${d.plugin}": it is being replaced`,
    fix: () => "wait for the first replacement, then look at the digest and replace again",
  }),
  Exports: reason<{ readonly missing: ReadonlyArray<string>; readonly changed: ReadonlyArray<string> }>({
    code: "STELE-POL-0003",
    status: 409,
    exit: 6,
    isRetryable: false,
    message: (d) =>
      `Cannot replace the plugin: the new component ${[
        ...(d.missing.length === 0 ? [] : [`lacks ${d.missing.join(", ")}`]),
        ...(d.changed.length === 0 ? [] : [`has another type for ${d.changed.join(", ")}`]),
      ].join(" and ")}`,
    fix: () => 'load it as a plugin of its own, or replace with exports: "any" when every caller knows',
  }),
  Snapshot: reason<{ readonly detail: string }>({
    code: "STELE-POL-0004",
    status: 422,
    exit: 1,
    isRetryable: false,
    message: (d) => `Cannot start instances from a snapshot: ${d.detail}`,
    fix: () => 'load it with prepare: "fresh", and with instances: { ready: 4 } where its initialisation takes long',
  }),
}) {}
