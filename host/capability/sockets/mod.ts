/**
 * `wasi:sockets` 0.2 but for UDP: look-up of names, TCP clients and servers. WIT: 0.2.12 as shipped with jco 1.35;
 * `network-error-code` is unstable and not served. Without a grant everything links and is denied.
 */
import { borrow, enumeration, func, option, own, primitive, resource, tuple } from "../../../schemas/wit/model.ts"
import type { CallContext, HostResource } from "../capability.ts"
import { inputResource, outputResource, pollableResource, wasiVersion } from "../io.ts"
import { hostInterface, ok, serve } from "../serve.ts"
import { type AddressStream, resolveAddresses } from "./lookup.ts"
import { absent, answers, at, bool, buffer, network, optionOf, u32, u64, u8 } from "./option.ts"
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
import { createTcpSocket, type TcpSocket } from "./tcp.ts"

const { string } = primitive

const tcpSocket: HostResource = { type: resource("tcp-socket"), drop: (call, rep) => (rep as TcpSocket).drop(call) }
const addressStream: HostResource = { type: resource("resolve-address-stream"), drop: (call, rep) => (rep as AddressStream).drop(call) }
const streams = [own(inputResource.type), own(outputResource.type)] as const

const self = { self: borrow(tcpSocket.type) }
const shutdownType = enumeration("receive", "send", "both")
const shared = { "error-code": errorCode, "ip-address-family": family }

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
        (call, socket: TcpSocket, _network: unknown, local: IpSocketAddress) => socket.startBind(call, local),
      ),
      "[method]tcp-socket.finish-bind": serve(func(self, answers()), (_call, socket: TcpSocket) => socket.finishBind()),
      "[method]tcp-socket.start-connect": serve(
        func({ ...self, ...at, "remote-address": ipSocketAddress }, answers()),
        (call, socket: TcpSocket, _network: unknown, remote: IpSocketAddress) => socket.startConnect(call, remote),
      ),
      "[method]tcp-socket.finish-connect": serve(func(self, answers(tuple(...streams))), (call, socket: TcpSocket) => socket.finishConnect(call)),
      "[method]tcp-socket.start-listen": serve(func(self, answers()), (call, socket: TcpSocket) => socket.startListen(call)),
      "[method]tcp-socket.finish-listen": serve(func(self, answers()), (_call, socket: TcpSocket) => socket.finishListen()),
      "[method]tcp-socket.accept": serve(
        func(self, answers(tuple(own(tcpSocket.type), ...streams))),
        (call, socket: TcpSocket) => socket.accept(call),
        "source",
      ),
      "[method]tcp-socket.local-address": serve(func(self, answers(ipSocketAddress)), (_call, socket: TcpSocket) => socket.localAddress()),
      "[method]tcp-socket.remote-address": serve(func(self, answers(ipSocketAddress)), (_call, socket: TcpSocket) => socket.remoteAddress()),
      "[method]tcp-socket.is-listening": serve(func(self, bool), (_call, socket: TcpSocket) => socket.isListening),
      "[method]tcp-socket.address-family": serve(func(self, family), (_call, socket: TcpSocket) => socket.family),
      "[method]tcp-socket.set-listen-backlog-size": serve(func({ ...self, value: u64 }, answers()), (_call, socket: TcpSocket, value: bigint) =>
        socket.setBacklog(value),
      ),
      ...optionOf(tcpSocket.type, "keep-alive-enabled", bool, {
        get: (_call, socket: TcpSocket) => ok(socket.keepsAlive),
        set: (call, socket: TcpSocket, value: boolean) => socket.setKeepsAlive(call, value),
      }),
      ...optionOf(tcpSocket.type, "keep-alive-idle-time", u64, {
        get: (_call, socket: TcpSocket) => ok(socket.idleNs),
        set: (_call, socket: TcpSocket, value: bigint) => socket.setIdleNs(value),
      }),
      // The engines choose these by themselves, and do not say how.
      ...optionOf(tcpSocket.type, "keep-alive-interval", u64, absent),
      ...optionOf(tcpSocket.type, "keep-alive-count", u32, absent),
      ...optionOf(tcpSocket.type, "hop-limit", u8, absent),
      ...optionOf(tcpSocket.type, "receive-buffer-size", u64, buffer),
      ...optionOf(tcpSocket.type, "send-buffer-size", u64, buffer),
      "[method]tcp-socket.subscribe": serve(func(self, own(pollableResource.type)), (call: CallContext, socket: TcpSocket) => socket.subscribe(call)),
      "[method]tcp-socket.shutdown": serve(
        func({ ...self, "shutdown-type": shutdownType }, answers()),
        (_call, socket: TcpSocket, how: "receive" | "send" | "both") => socket.shutdown(how),
      ),
    },
  }),
]
