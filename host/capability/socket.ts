/**
 * TCP: the grammar of its grants. What serves `wasi:sockets` is loaded when a plugin imports it.
 *
 *     tcp:connect:HOST:PORT      see `network/socket-grant.ts`
 *     tcp:listen:ADDRESS:PORT
 *
 * A name may be looked up where a grant lets it be connected, or sent, to on some port.
 */
import type { Capability } from "./capability.ts"
import { localGrant, remoteGrant } from "./network/socket-grant.ts"
import { isWithin, refuse } from "./scope.ts"

export const socket: Capability = {
  name: "tcp",
  risk: "The plugin opens connections to the hosts and ports named, sends what it likes and reads what comes; where it may listen, whoever reaches the address reaches it.",
  mode: "either",
  forms: ["tcp:connect:HOST:PORT", "tcp:listen:ADDRESS:PORT"],
  isInert: false,
  parse(text, [action = "", ...rest]) {
    const given = rest.join(":")
    if (action === "connect") return remoteGrant(text, "tcp:connect", given)
    return action === "listen" ? localGrant(text, "tcp:listen", given) : refuse(text, `its action is "${action}"; "tcp" has connect and listen`)
  },
  subset: isWithin,
  isInertUngranted: true,
  interfaces: [],
  later: {
    names: ["network", "instance-network", "ip-name-lookup", "tcp", "tcp-create-socket"].map((name) => `wasi:sockets/${name}`),
    load: async () => (await import("./sockets/mod.ts")).socketInterfaces,
  },
  needs: () => "tcp:connect:*",
  // Names are looked up for datagrams as well.
  heads: (name) => (name === "wasi:sockets/tcp" || name === "wasi:sockets/tcp-create-socket" ? ["tcp"] : ["tcp", "udp"]),
  ports: ["socket"],
}
