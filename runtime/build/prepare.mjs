/**
 * Makes a checkout ready: installs and builds what is missing or stale, says what it does on stderr, and does nothing
 * when nothing is to be done. Plain JavaScript for the system's Node (20 or newer): it runs before Node 26, which is
 * a dependency, is there.
 *
 *     node runtime/build/prepare.mjs [examples] [dist] [test]
 */
import { spawn } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))
const node = join(root, "node_modules/.bin", process.platform === "win32" ? "node.cmd" : "node")
const isWindows = process.platform === "win32"

const children = new Set()

function fail(message) {
  console.error(message)
  for (const child of children) child.kill()
  process.exit(1)
}

const read = (path) => (existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : undefined)

/**
 * What is installed is what the lockfile names: npm notes the former in `node_modules/.package-lock.json`. Optional
 * packages of other platforms may be absent; a program that an install script puts in place must be there.
 */
function isInstalled(folder, programs) {
  const wanted = read(join(folder, "package-lock.json"))?.packages ?? {}
  const found = read(join(folder, "node_modules/.package-lock.json"))?.packages
  if (found === undefined || !programs.every((program) => existsSync(join(folder, "node_modules", program)))) return false
  return Object.entries(wanted).every(([place, entry]) => {
    if (place === "") return true
    const there = found[place]
    return there === undefined ? entry.optional === true || entry.peer === true : there.version === entry.version
  })
}

function run(command, args, cwd, env) {
  return new Promise((done) => {
    const child = spawn(command, args, { cwd, env, stdio: ["ignore", 2, 2], shell: isWindows })
    children.add(child)
    child.once("error", (error) => fail(`Cannot run "${command}": ${error.message}`))
    child.once("exit", (code, signal) => {
      children.delete(child)
      if (code !== 0) fail(`Cannot go on: "${[command, ...args].join(" ")}" ended with ${code === null ? `signal ${signal}` : `exit code ${code}`}`)
      done()
    })
  })
}

/** npm replaces `node_modules`, so it must not run on the Node in there; nor may it inherit the outer npm's settings. */
function outsideEnv() {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_(?!config_(cache|registry|offline|prefer_offline|userconfig)$)/i.test(name)),
  )
  const path = Object.keys(env).find((name) => name.toUpperCase() === "PATH") ?? "PATH"
  env[path] = (env[path] ?? "")
    .split(delimiter)
    .filter((folder) => !folder.includes("node_modules"))
    .join(delimiter)
  return env
}

async function install(folder, name, programs) {
  if (isInstalled(folder, programs)) return
  console.error(`Installing ${name} (npm ci in ${name === "the tools" ? "." : "test"})`)
  await run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], folder, outsideEnv())
  if (!isInstalled(folder, programs)) {
    fail(`Cannot go on: npm left out one of ${programs.join(", ")}; install scripts must be allowed for "node", "deno" and "bun"`)
  }
}

if (Number(process.versions.node.split(".")[0]) < 20) fail(`Cannot prepare with Node ${process.versions.node}: at least Node 20 is needed`)
const wanted = new Set(process.argv.slice(2))
// Building needs the tools alone: what tests need is installed meanwhile.
const tests = wanted.has("test") && install(join(root, "test"), "what tests need", ["bun/package.json", "deno/package.json", "tap/package.json"])
await install(root, "the tools", ["node/bin/node", "typescript/package.json"])
// An example may be of a first-party plugin's world, which lies beside what was built of that.
if (wanted.has("examples")) for (const plugins of ["plugins", "examples"]) await run(node, [`runtime/build/${plugins}.ts`], root, process.env)
if (wanted.has("dist")) await run(node, ["runtime/build/build.ts", "--if-stale"], root, process.env)
await tests
