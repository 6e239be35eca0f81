/**
 * `wasi:sockets` 0.2: TCP clients and look-up of names. WIT: 0.2.12 as shipped with jco 1.35; `network-error-code` is
 * unstable and not served. Listening, UDP and the options of sockets answer `not-supported`. Without a grant everything
 * links and is denied.
 */
import { borrow, func, list, option, own, primitive, record, resource, result, tuple, type ValueType, enumeration } from "../../../schemas/wit/model.ts"
import type { CallContext, HostExport, HostResource } from "../capability.ts"
import { inputResource, outputResource, pollableResource, wasiVersion } from "../io.ts"
import { err, hostInterface, plainResource, serve } from "../serve.ts"
import {
  errorCode,
  family,
  type Family,
  ipAddress,
  type IpSocketAddress,
  ipSocketAddress,
  ipv4Address,
  ipv4SocketAddress,
  ipv6Address,
  ipv6SocketAddress,
} from "./place.ts"
import { type AddressStream, createTcpSocket, resolveAddresses, type TcpSocket } from "./tcp.ts"

const { bool, string, u8, u32, u64 } = primitive

const network = plainResource(resource("network"))
const tcpSocket: HostResource = { type: resource("tcp-socket"), drop: (call, rep) => (rep as TcpSocket).drop(call) }
const addressStream: HostResource = { type: resource("resolve-address-stream"), drop: (call, rep) => (rep as AddressStream).drop(call) }
const udpSocket = plainResource(resource("udp-socket"))
const incomingDatagrams = plainResource(resource("incoming-datagram-stream"))
const outgoingDatagrams = plainResource(resource("outgoing-datagram-stream"))

const answers = (ok?: ValueType) => result(ok, errorCode)
const unsupported = (type: ReturnType<typeof func>): HostExport => serve(type, () => err("not-supported"))

const self = { self: borrow(tcpSocket.type) }
const shutdownType = enumeration("receive", "send", "both")
const at = { network: borrow(network.type) }

/** An option of a socket: a value that cannot be is refused as such, any other as one that is not there. */
function optionOf(on: HostResource, prefix: string, label: string, type: ValueType): Readonly<Record<string, HostExport>> {
  const own = { self: borrow(on.type) }
  return {
    [`[method]${prefix}.${label}`]: unsupported(func(own, answers(type))),
    [`[method]${prefix}.set-${label}`]: serve(func({ ...own, value: type }, answers()), (_call, _self: unknown, value: unknown) =>
      err(value === 0 || value === 0n ? "invalid-argument" : "not-supported"),
    ),
  }
}

const shared = { "error-code": errorCode, "ip-address-family": family }

const datagramAddress = { "remote-address": ipSocketAddress }
const incomingDatagram = record({ data: list(u8), ...datagramAddress })
const outgoingDatagram = record({ data: list(u8), "remote-address": option(ipSocketAddress) })
const udp = { self: borrow(udpSocket.type) }
const incoming = { self: borrow(incomingDatagrams.type) }
const outgoing = { self: borrow(outgoingDatagrams.type) }
const subscribing = (params: Parameters<typeof func>[0]): HostExport => serve(func(params, own(pollableResource.type)), () => ({ readyInMs: () => 0 }))

export const socketInterfaces = [
  hostInterface("wasi:sockets/network", wasiVersion, {
    resources: { network },
    types: {
      ...shared,
      "ipv4-address": ipv4Address,
      "ipv6-address": ipv6Address,
      "ip-address": ipAddress,
      "ipv4-socket-address": ipv4SocketAddress,
      "ipv6-socket-address": ipv6SocketAddress,
      "ip-socket-address": ipSocketAddress,
    },
  }),
  hostInterface("wasi:sockets/instance-network", wasiVersion, {
    resources: { network },
    functions: { "instance-network": serve(func({}, own(network.type)), () => ({})) },
  }),
  hostInterface("wasi:sockets/ip-name-lookup", wasiVersion, {
    resources: { network, pollable: pollableResource, "resolve-address-stream": addressStream },
    types: { "error-code": errorCode, "ip-address": ipAddress },
    functions: {
      "resolve-addresses": serve(
        func({ ...at, name: string }, answers(own(addressStream.type))),
        (call, _network: unknown, name: string) => resolveAddresses(call, name),
        "source",
      ),
      "[method]resolve-address-stream.resolve-next-address": serve(
        func({ self: borrow(addressStream.type) }, answers(option(ipAddress))),
        (call, stream: AddressStream) => stream.next(call),
      ),
      "[method]resolve-address-stream.subscribe": serve(
        func({ self: borrow(addressStream.type) }, own(pollableResource.type)),
        (_call, stream: AddressStream) => stream.subscribe(),
      ),
    },
  }),
  hostInterface("wasi:sockets/tcp-create-socket", wasiVersion, {
    resources: { network, "tcp-socket": tcpSocket },
    types: shared,
    functions: {
      "create-tcp-socket": serve(func({ "address-family": family }, answers(own(tcpSocket.type))), (call, of: Family) => createTcpSocket(call, of), "source"),
    },
  }),
  hostInterface("wasi:sockets/tcp", wasiVersion, {
    resources: { network, pollable: pollableResource, "input-stream": inputResource, "output-stream": outputResource, "tcp-socket": tcpSocket },
    types: { ...shared, duration: u64, "ip-socket-address": ipSocketAddress, "shutdown-type": shutdownType },
    functions: {
      "[method]tcp-socket.start-bind": serve(
        func({ ...self, ...at, "local-address": ipSocketAddress }, answers()),
        (_call, socket: TcpSocket, _network: unknown, local: IpSocketAddress) => socket.startBind(local),
      ),
      "[method]tcp-socket.finish-bind": serve(func(self, answers()), (_call, socket: TcpSocket) => socket.finishBind()),
      "[method]tcp-socket.start-connect": serve(
        func({ ...self, ...at, "remote-address": ipSocketAddress }, answers()),
        (call, socket: TcpSocket, _network: unknown, remote: IpSocketAddress) => socket.startConnect(call, remote),
      ),
      "[method]tcp-socket.finish-connect": serve(func(self, answers(tuple(own(inputResource.type), own(outputResource.type)))), (call, socket: TcpSocket) =>
        socket.finishConnect(call),
      ),
      "[method]tcp-socket.start-listen": unsupported(func(self, answers())),
      "[method]tcp-socket.finish-listen": serve(func(self, answers()), () => err("not-in-progress")),
      "[method]tcp-socket.accept": serve(func(self, answers(tuple(own(tcpSocket.type), own(inputResource.type), own(outputResource.type)))), () =>
        err("invalid-state"),
      ),
      "[method]tcp-socket.local-address": serve(func(self, answers(ipSocketAddress)), (_call, socket: TcpSocket) => socket.address("local")),
      "[method]tcp-socket.remote-address": serve(func(self, answers(ipSocketAddress)), (_call, socket: TcpSocket) => socket.address("remote")),
      "[method]tcp-socket.is-listening": serve(func(self, bool), () => false),
      "[method]tcp-socket.address-family": serve(func(self, family), (_call, socket: TcpSocket) => socket.family),
      "[method]tcp-socket.set-listen-backlog-size": serve(func({ ...self, value: u64 }, answers()), (_call, _socket: unknown, value: bigint) =>
        err(value === 0n ? "invalid-argument" : "not-supported"),
      ),
      ...optionOf(tcpSocket, "tcp-socket", "keep-alive-enabled", bool),
      ...optionOf(tcpSocket, "tcp-socket", "keep-alive-idle-time", u64),
      ...optionOf(tcpSocket, "tcp-socket", "keep-alive-interval", u64),
      ...optionOf(tcpSocket, "tcp-socket", "keep-alive-count", u32),
      ...optionOf(tcpSocket, "tcp-socket", "hop-limit", u8),
      ...optionOf(tcpSocket, "tcp-socket", "receive-buffer-size", u64),
      ...optionOf(tcpSocket, "tcp-socket", "send-buffer-size", u64),
      "[method]tcp-socket.subscribe": serve(func(self, own(pollableResource.type)), (call: CallContext, socket: TcpSocket) => socket.subscribe(call)),
      "[method]tcp-socket.shutdown": serve(
        func({ ...self, "shutdown-type": shutdownType }, answers()),
        (_call, socket: TcpSocket, how: "receive" | "send" | "both") => socket.shutdown(how),
      ),
    },
  }),
  hostInterface("wasi:sockets/udp-create-socket", wasiVersion, {
    resources: { network, "udp-socket": udpSocket },
    types: shared,
    functions: { "create-udp-socket": unsupported(func({ "address-family": family }, answers(own(udpSocket.type)))) },
  }),
  // No UDP socket can be made, so none of these can be reached with a valid handle; each refuses all the same.
  hostInterface("wasi:sockets/udp", wasiVersion, {
    resources: {
      network,
      pollable: pollableResource,
      "udp-socket": udpSocket,
      "incoming-datagram-stream": incomingDatagrams,
      "outgoing-datagram-stream": outgoingDatagrams,
    },
    types: { ...shared, "ip-socket-address": ipSocketAddress, "incoming-datagram": incomingDatagram, "outgoing-datagram": outgoingDatagram },
    functions: {
      "[method]udp-socket.start-bind": unsupported(func({ ...udp, ...at, "local-address": ipSocketAddress }, answers())),
      "[method]udp-socket.finish-bind": unsupported(func(udp, answers())),
      "[method]udp-socket.stream": unsupported(
        func({ ...udp, "remote-address": option(ipSocketAddress) }, answers(tuple(own(incomingDatagrams.type), own(outgoingDatagrams.type)))),
      ),
      "[method]udp-socket.local-address": unsupported(func(udp, answers(ipSocketAddress))),
      "[method]udp-socket.remote-address": unsupported(func(udp, answers(ipSocketAddress))),
      "[method]udp-socket.address-family": serve(func(udp, family), () => "ipv4"),
      ...optionOf(udpSocket, "udp-socket", "unicast-hop-limit", u8),
      ...optionOf(udpSocket, "udp-socket", "receive-buffer-size", u64),
      ...optionOf(udpSocket, "udp-socket", "send-buffer-size", u64),
      "[method]udp-socket.subscribe": subscribing(udp),
      "[method]incoming-datagram-stream.receive": unsupported(func({ ...incoming, "max-results": u64 }, answers(list(incomingDatagram)))),
      "[method]incoming-datagram-stream.subscribe": subscribing(incoming),
      "[method]outgoing-datagram-stream.check-send": unsupported(func(outgoing, answers(u64))),
      "[method]outgoing-datagram-stream.send": unsupported(func({ ...outgoing, datagrams: list(outgoingDatagram) }, answers(u64))),
      "[method]outgoing-datagram-stream.subscribe": subscribing(outgoing),
    },
  }),
]
