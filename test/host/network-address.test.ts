// Which addresses a name may lead to, and how hosts and URLs are read before anything is decided about them.
import fc from "../property.ts"
import t from "tap"
import { parseAddress, printAddress, special } from "../../host/capability/network/address.ts"
import { parseHost, placeOf, targetOf } from "../../host/capability/network/target.ts"

const kindOf = (text: string): string | undefined => {
  const address = parseAddress(text)
  return address === undefined ? "no address" : special(address)
}

t.test("`special()` names every block that is not global, at both its ends, and leaves what lies beside it", async (t) => {
  for (const [first, last, kind] of [
    ["0.0.0.0", "0.255.255.255", "unspecified"],
    ["10.0.0.0", "10.255.255.255", "private"],
    ["100.64.0.0", "100.127.255.255", "carrier NAT"],
    ["127.0.0.0", "127.255.255.255", "loopback"],
    ["169.254.0.0", "169.254.255.255", "link-local"],
    ["172.16.0.0", "172.31.255.255", "private"],
    ["192.0.0.0", "192.0.0.255", "special-purpose"],
    ["192.0.2.0", "192.0.2.255", "documentation"],
    ["192.88.99.0", "192.88.99.255", "special-purpose"],
    ["192.168.0.0", "192.168.255.255", "private"],
    ["198.18.0.0", "198.19.255.255", "benchmarking"],
    ["198.51.100.0", "198.51.100.255", "documentation"],
    ["203.0.113.0", "203.0.113.255", "documentation"],
    ["224.0.0.0", "239.255.255.255", "multicast"],
    ["240.0.0.0", "255.255.255.255", "reserved or broadcast"],
    ["::", "::", "unspecified"],
    ["::1", "::1", "loopback"],
    ["::2", "::ffff:ffff", "IPv4-compatible"],
    ["64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "local NAT64"],
    ["fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "unique-local"],
    ["fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "link-local"],
    ["fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "site-local"],
    ["ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast"],
    ["2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "Teredo"],
    ["2001:1::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "special-purpose"],
    ["2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "documentation"],
    ["2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "6to4"],
    ["3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "documentation"],
    ["::ffff:127.0.0.1", "::ffff:7fff:ffff", "loopback, as IPv4-mapped"],
    ["64:ff9b::10.0.0.0", "64:ff9b::aff:ffff", "private, as NAT64"],
    ["::ffff:0:7f00:1", "::ffff:0:7f00:1", "not global unicast"],
    ["2a00:1450::200:5efe:10.0.0.1", "2a00:1450::5efe:10.0.0.1", "ISATAP"],
    ["4000::", "fbff::", "not global unicast"],
    ["100::", "1fff::", "not global unicast"],
  ] as const) {
    t.equal(kindOf(first), kind, first)
    t.equal(kindOf(last), kind, last)
  }
  for (const text of [
    "1.0.0.0",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2000::",
    "2001:200::",
    "2606:4700:4700::1111",
    "2a00:1450::1",
    "3ffe:ffff::",
    "3fff:1000::",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
  ])
    t.equal(kindOf(text), undefined, text)
})

t.test("`parseAddress()` reads only plain addresses, and `printAddress()` writes them back", async (t) => {
  for (const text of [
    "",
    "1.2.3",
    "1.2.3.4.5",
    "01.2.3.4",
    "1.2.3.256",
    "0x1.2.3.4",
    "1.2.3.4 ",
    ":::",
    "1::2::3",
    "::1%eth0",
    "12345::",
    "::1.2.3",
    "1:2:3:4:5:6:7",
    "::1:2:3:4:5:6:7:8",
    "g::",
  ])
    t.equal(parseAddress(text), undefined, text)
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 })), (bytes) =>
      Buffer.from(parseAddress(printAddress(bytes)) as Uint8Array).equals(bytes),
    ),
  )
})

t.test("`targetOf()` asks for the address that a host is, however it is written", async (t) => {
  for (const host of [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "127.0.0.1.",
    "%31%32%37.0.0.1",
    "１２７.0.0.1",
    "127。0。0。1",
    "127.0.0.0x1",
  ]) {
    const target = targetOf(`http://${host}/`)
    t.equal(target?.key, "[127.0.0.1]:http:80/", host)
    t.same(target?.address, Uint8Array.of(127, 0, 0, 1))
    t.equal(parseHost(host)?.host, "127.0.0.1")
  }
  t.equal(targetOf("http://[0:0:0:0:0:ffff:127.0.0.1]:8080/a?b#c")?.key, "[::ffff:7f00:1]:http:8080/a?b")
  t.equal(targetOf("https://Bücher.Example./%7Ea")?.url, "https://xn--bcher-kva.example/%7Ea")
  t.equal(targetOf("https://api.example.com:443/v1")?.key, "https:443:com.example.api/v1")
  t.equal(targetOf("https:\\\\example.com\\a")?.key, "https:443:com.example/a")
})

t.test("`targetOf()` takes nothing with credentials, zones, other schemes or empty labels", async (t) => {
  for (const url of [
    "http://ada@example.com/",
    "http://:x@example.com/",
    "http://127.0.0.1@example.com/",
    "http://[fe80::1%25eth0]/",
    "ftp://a/",
    "file:///a",
    "http://",
    "/a",
    "http://a..b/",
    "http://a:0/",
    "http://a:65536/",
    `http://${"a.".repeat(130)}b/`,
    `http://a/${"x".repeat(8_192)}`,
    "http://256.1.1.1/",
    "http://1.2.3.4.5/",
  ])
    t.equal(targetOf(url), undefined, url.slice(0, 60))
  t.equal(parseHost("a/b"), undefined)
  t.equal(parseHost("a:80"), undefined)
  t.equal(placeOf(""), undefined)
})

t.test("`targetOf()` gives a path that a server may read as climbing out only to who has the whole host", async (t) => {
  for (const path of ["v1/..%2fadmin", "v1/%2e%2e%2fadmin", "v1/..%5cadmin", "v1/%252e%252e/admin", "v1/..;/admin"])
    t.equal(targetOf(`https://a.b/${path}`)?.key, "https:443:b.a/", path)
  t.equal(targetOf("https://a.b/v1/a..b/...")?.key, "https:443:b.a/v1/a..b/...")
})
