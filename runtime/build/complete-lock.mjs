/**
 * Completes a `package-lock.json` with the optional packages of other platforms.
 *
 * npm leaves an optional package out of the lockfile when the registry at hand does not have it (mirrors often hold
 * one platform only), and `npm ci` then refuses the lockfile as out of step. The versions are known all the same: a
 * native package pins its platform packages exactly. So they are written down here without an integrity, which npm
 * needs only on the platform that installs them.
 *
 *     node runtime/build/complete-lock.mjs package-lock.json test/package-lock.json
 */
import { readFileSync, writeFileSync } from "node:fs"

const systems = ["aix", "android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "openharmony", "sunos", "win32"]
const processors = ["arm64", "arm", "ia32", "loong64", "mips64el", "ppc64", "riscv64", "s390x", "wasm32", "x64"]

/** The platform that a package's name tells: `@oxlint/binding-linux-arm-musleabihf`. */
function platformOf(name) {
  const words = name.slice(name.indexOf("/") + 1).split("-")
  const os = systems.find((system) => words.includes(system))
  const cpu = processors.find((processor) => words.includes(processor))
  if (cpu === undefined || (os === undefined && cpu !== "wasm32")) throw new Error(`Cannot tell the platform of "${name}"`)
  const libc =
    os === "linux"
      ? words.some((word) => word.startsWith("musl"))
        ? ["musl"]
        : words.some((word) => /^(gnu|glibc)/.test(word))
          ? ["glibc"]
          : undefined
      : undefined
  return { cpu: [cpu], ...(libc && { libc }), ...(os && { os: [os] }) }
}

for (const path of process.argv.slice(2)) {
  const lock = JSON.parse(readFileSync(path, "utf8"))
  const added = []
  for (const [folder, entry] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      const nested = `${folder}/node_modules/${name}`
      const hoisted = `node_modules/${name}`
      const present = [nested, hoisted].find((place) => lock.packages[place]?.version === version)
      if (present !== undefined || !/^\d/.test(version)) continue
      const place = lock.packages[hoisted] === undefined ? hoisted : nested
      const { cpu, libc, os } = platformOf(name)
      lock.packages[place] = { version, cpu, dev: true, ...(libc && { libc }), optional: true, ...(os && { os }) }
      added.push(`${name}@${version}`)
    }
  }
  // A lockfile names no host, and these name some.
  for (const entry of Object.values(lock.packages)) delete entry.funding
  lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
  writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`)
  console.error(`${path}: ${added.length} optional packages of other platforms added`)
}
