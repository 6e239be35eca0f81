/** `wasi:sockets/udp` and `udp-create-socket` 0.2 (WIT: 0.2.12 as shipped with jco 1.35). */
import { borrow, func, list, option, own, record, resource, tuple } from "../../../schemas/wit/model.ts"
import type { HostResource } from "../capability.ts"
import { pollableResource, wasiVersion } from "../io.ts"
import { hostInterface, ok, serve } from "../serve.ts"
import { answers, at, buffer, network, optionOf, u64, u8 } from "./option.ts"
import { errorCode, family, type Family, type IpSocketAddress, ipSocketAddress } from "./place.ts"
import { createUdpSocket, type IncomingDatagrams, type OutgoingDatagram, type OutgoingDatagrams, type UdpSocket } from "./udp.ts"

const socket: HostResource = { type: resource("udp-socket"), drop: (call, rep) => (rep as UdpSocket).drop(call) }
const incoming: HostResource = { type: resource("incoming-datagram-stream"), drop: (_call, rep) => (rep as IncomingDatagrams).of.dropStream() }
const outgoing: HostResource = { type: resource("outgoing-datagram-stream"), drop: (_call, rep) => (rep as OutgoingDatagrams).of.dropStream() }

const incomingDatagram = record({ data: list(u8), "remote-address": ipSocketAddress })
const outgoingDatagram = record({ data: list(u8), "remote-address": option(ipSocketAddress) })
const self = { self: borrow(socket.type) }
const receiving = { self: borrow(incoming.type) }
const sending = { self: borrow(outgoing.type) }
const pollable = own(pollableResource.type)
const shared = { "error-code": errorCode, "ip-address-family": family }

export const udpInterfaces = [
  hostInterface("wasi:sockets/udp-create-socket", wasiVersion, {
    resources: { network, "udp-socket": socket },
    types: shared,
    functions: {
      "create-udp-socket": serve(func({ "address-family": family }, answers(own(socket.type))), (call, of: Family) => createUdpSocket(call, of), "source"),
    },
  }),
  hostInterface("wasi:sockets/udp", wasiVersion, {
    resources: { network, pollable: pollableResource, "udp-socket": socket, "incoming-datagram-stream": incoming, "outgoing-datagram-stream": outgoing },
    types: { ...shared, "ip-socket-address": ipSocketAddress, "incoming-datagram": incomingDatagram, "outgoing-datagram": outgoingDatagram },
    functions: {
      "[method]udp-socket.start-bind": serve(
        func({ ...self, ...at, "local-address": ipSocketAddress }, answers()),
        (call, of: UdpSocket, _network: unknown, local: IpSocketAddress) => of.startBind(call, local),
      ),
      "[method]udp-socket.finish-bind": serve(func(self, answers()), (_call, of: UdpSocket) => of.finishBind()),
      "[method]udp-socket.stream": serve(
        func({ ...self, "remote-address": option(ipSocketAddress) }, answers(tuple(own(incoming.type), own(outgoing.type)))),
        (call, of: UdpSocket, remote: IpSocketAddress | undefined) => of.stream(call, remote),
      ),
      "[method]udp-socket.local-address": serve(func(self, answers(ipSocketAddress)), (_call, of: UdpSocket) => of.localAddress()),
      "[method]udp-socket.remote-address": serve(func(self, answers(ipSocketAddress)), (_call, of: UdpSocket) => of.remoteAddress()),
      "[method]udp-socket.address-family": serve(func(self, family), (_call, of: UdpSocket) => of.family),
      ...optionOf(socket.type, "unicast-hop-limit", u8, {
        get: (_call, of: UdpSocket) => ok(of.hopLimit),
        set: (_call, of: UdpSocket, value: number) => of.setHopLimit(value),
      }),
      ...optionOf(socket.type, "receive-buffer-size", u64, buffer),
      ...optionOf(socket.type, "send-buffer-size", u64, buffer),
      "[method]udp-socket.subscribe": serve(func(self, pollable), (call, of: UdpSocket) => of.subscribe(call)),
      "[method]incoming-datagram-stream.receive": serve(
        func({ ...receiving, "max-results": u64 }, answers(list(incomingDatagram))),
        (call, { of }: IncomingDatagrams, most: bigint) => of.receive(call, most),
      ),
      "[method]incoming-datagram-stream.subscribe": serve(func(receiving, pollable), (call, { of }: IncomingDatagrams) => of.incomingReady(call)),
      "[method]outgoing-datagram-stream.check-send": serve(func(sending, answers(u64)), (call, { of }: OutgoingDatagrams) => {
        const permit = of.permit(call)
        return permit.tag === "ok" ? ok(BigInt(permit.val)) : permit
      }),
      "[method]outgoing-datagram-stream.send": serve(
        func({ ...sending, datagrams: list(outgoingDatagram) }, answers(u64)),
        (call, { of }: OutgoingDatagrams, datagrams: ReadonlyArray<OutgoingDatagram>) => of.send(call, datagrams),
      ),
      "[method]outgoing-datagram-stream.subscribe": serve(func(sending, pollable), (call, { of }: OutgoingDatagrams) => of.outgoingReady(call)),
    },
  }),
]
