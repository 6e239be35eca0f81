/** What an embedder may say of the network: apart from what works it, whose types are those of the platform. */
import type { HttpLimits } from "../../host/port/http.ts"
import type { SocketLimits } from "../../host/port/socket.ts"

export interface NetworkThreadOptions {
  /** Name servers asked instead of the system's resolver: `["192.0.2.53", "127.0.0.1:5353"]`. */
  readonly dnsServers?: ReadonlyArray<string>
  /** Certificate authorities trusted besides the platform's, in PEM. */
  readonly certificateAuthority?: string
}

export interface NetworkOptions extends NetworkThreadOptions {
  /** Limits of every HTTP exchange that differ from the defaults. */
  readonly http?: Partial<HttpLimits>
  readonly socket?: Partial<SocketLimits>
}
