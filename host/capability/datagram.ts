/**
 * UDP: the grammar of its grants. What serves `wasi:sockets/udp` is loaded when a plugin imports it.
 *
 *     udp:send:HOST:PORT         see `network/socket-grant.ts`
 *     udp:bind:ADDRESS:PORT
 */
import type { Capability } from "./capability.ts"
import { localGrant, remoteGrant } from "./network/socket-grant.ts"
import { isWithin, refuse } from "./scope.ts"

export const datagram: Capability = {
  name: "udp",
  risk: "The plugin sends datagrams to the hosts and ports named and reads what comes back; where it may bind, it reads what anybody sends there, and answers public addresses.",
  mode: "either",
  forms: ["udp:send:HOST:PORT", "udp:bind:ADDRESS:PORT"],
  isInert: false,
  parse(text, [action = "", ...rest]) {
    const given = rest.join(":")
    if (action === "send") return remoteGrant(text, "udp:send", given)
    return action === "bind" ? localGrant(text, "udp:bind", given) : refuse(text, `its action is "${action}"; "udp" has send and bind`)
  },
  subset: isWithin,
  isInertUngranted: true,
  interfaces: [],
  later: {
    names: ["wasi:sockets/udp", "wasi:sockets/udp-create-socket"],
    load: async () => (await import("./sockets/udp-interfaces.ts")).udpInterfaces,
  },
  needs: () => "udp:send:*",
  heads: () => ["udp"],
  ports: ["socket"],
}
