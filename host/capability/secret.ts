/**
 * `stele:secret/store` (`schemas/wit/stele/secret.wit`): credentials by name. A secret is a handle until it is revealed,
 * so one plugin can pass it on without reading it, and a revocation reaches handles already open.
 */
import { borrow, func, list, own, primitive, resource, result, variant } from "../../schemas/wit/model.ts"
import { type Awaitable, tenantKey } from "../port/mod.ts"
import type { CallContext, Capability } from "./capability.ts"
import { isWithin, nameForm } from "./scope.ts"
import { after, err, hostInterface, ok, type Result, serve } from "./serve.ts"

type SecretFailure = { readonly tag: "not-found" } | { readonly tag: "access-denied" }
type Revealed = { readonly tag: "text"; readonly val: string } | { readonly tag: "bytes"; readonly val: Uint8Array }

/** Rep of `secret`. */
class Secret {
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
}

/** The grant for a secret, or the denial counted. */
function allowed(call: CallContext, name: string): string | undefined {
  const grant = call.grants.match("secret", name)
  if (grant === undefined) call.denied(`secret:${name}`)
  return grant
}

const read = (call: CallContext, name: string) => call.ports.secret.get(tenantKey(call.tenant, name))

function get(call: CallContext, name: string): Awaitable<Result<Secret, SecretFailure>> {
  if (allowed(call, name) === undefined) return err({ tag: "access-denied" })
  return after(read(call, name), (value): Result<Secret, SecretFailure> => (value === undefined ? err({ tag: "not-found" }) : ok(new Secret(name))))
}

function reveal(call: CallContext, self: Secret): Awaitable<Result<Revealed, SecretFailure>> {
  const grant = allowed(call, self.name)
  if (grant === undefined) return err({ tag: "access-denied" })
  return after(read(call, self.name), (value): Result<Revealed, SecretFailure> => {
    if (value === undefined) return err({ tag: "not-found" })
    call.used(grant, value.length)
    return ok(typeof value === "string" ? { tag: "text", val: value } : { tag: "bytes", val: value })
  })
}

const { string, u8 } = primitive
const secretType = resource("secret")
const error = variant({ "not-found": undefined, "access-denied": undefined })
const secretValue = variant({ text: string, bytes: list(u8) })

export const secret: Capability = {
  name: "secret",
  risk: "The plugin reads the credentials named and can put them into anything it returns or writes.",
  mode: "either",
  forms: ["secret:NAME"],
  isInert: false,
  parse: nameForm("secret"),
  subset: isWithin,
  interfaces: [
    hostInterface("stele:secret/store", "0.1.0", {
      resources: { secret: { type: secretType } },
      types: { error, "secret-value": secretValue },
      functions: {
        "[method]secret.reveal": serve(func({ self: borrow(secretType) }, result(secretValue, error)), reveal),
        get: serve(func({ name: string }, result(own(secretType), error)), get),
      },
    }),
  ],
  needs: () => "secret:*",
  heads: () => ["secret"],
  ports: ["secret"],
}
