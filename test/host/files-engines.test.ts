/**
 * No way out of a given directory, on any engine: what `files-program.ts` tries, and what each attempt must answer. With
 * descriptors nothing escapes while another process swaps directories for links; with paths the same is counted and told.
 */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"
import { answer, engines } from "./engine.ts"
import { isFull } from "../seed.ts"

if (process.platform === "win32") {
  t.pass("links, pipes and sockets of this test need a POSIX system", { skip: "not on Windows" })
  process.exit(0)
}

/** By answer, then by what was tried: paths. `ok` and what was read behind it. */
const expected: Readonly<Record<string, Readonly<Record<string, ReadonlyArray<string>>>>> = {
  invalid: {
    open: ["inside.txtNUL/../../x", "NUL"],
    stat: ["inside.txtNUL/../../x", "NUL"],
    mkdir: ["."],
    symlink: ["."],
    "rename-to": ["."],
    "link-to": ["."],
    unlink: ["."],
    rmdir: ["."],
    "rename-from": ["."],
  },
  loop: {
    open: ["loop-a", "itself", "itself/x", "long-40"],
    stat: ["loop-a", "itself", "itself/x", "long-40"],
    "open-nofollow": ["up-file", "loop-a", "good-file"],
  },
  "name-too-long": {
    open: ["xxxxxxxxxx…256", "x/x/x/x/x/…4200"],
    stat: ["xxxxxxxxxx…256", "x/x/x/x/x/…4200"],
  },
  "no-entry": {
    open: [
      "",
      "sub/odd-��",
      "sub/sub/su…800",
      "missing",
      "missing/x",
      "INSIDE.TXT",
      "..\\outside\\canary.txt",
      "sub\\..\\..\\outside",
      "%2e%2e/outside",
      "․․/outside",
      "C:\\Windows",
      "file:///etc/passwd",
      "~",
    ],
    stat: [
      "",
      "sub/odd-��",
      "sub/sub/su…800",
      "missing",
      "missing/x",
      "INSIDE.TXT",
      "..\\outside\\canary.txt",
      "sub\\..\\..\\outside",
      "%2e%2e/outside",
      "․․/outside",
      "C:\\Windows",
      "file:///etc/passwd",
      "~",
    ],
    symlink: [" at n6"],
  },
  "not-directory": {
    open: ["inside.txt/", "inside.txt/.", "inside.txt/..", "inside.txt/x"],
    stat: ["inside.txt/", "inside.txt/.", "inside.txt/..", "inside.txt/x"],
  },
  "not-permitted": {
    open: [
      "../outside/canary.txt",
      "..",
      "../",
      "./..",
      "sub/../../outside/canary.txt",
      "sub/deep/../../../outside",
      "//etc/passwd",
      "/etc/passwd",
      "/",
      "FOLDER/outside/canary.txt",
      "up-file",
      "up-dir",
      "up-dir/canary.txt",
      "up-dir/../given/inside.txt",
      "absolute-file",
      "absolute-dir/canary.txt",
      "chain",
      "winding",
      "magic-cwd",
      "magic-cwd/package.json",
      "magic-root",
      "device-link",
    ],
    stat: [
      "../outside/canary.txt",
      "..",
      "../",
      "./..",
      "sub/../../outside/canary.txt",
      "sub/deep/../../../outside",
      "//etc/passwd",
      "/etc/passwd",
      "/",
      "FOLDER/outside/canary.txt",
      "up-file",
      "up-dir",
      "up-dir/canary.txt",
      "up-dir/../given/inside.txt",
      "absolute-file",
      "absolute-dir/canary.txt",
      "chain",
      "winding",
      "magic-cwd",
      "magic-cwd/package.json",
      "magic-root",
      "device-link",
    ],
    create: ["../outside/new", "up-dir/new", "absolute-dir/new", "dangling-out", "up-file", "absolute-file", "device-link"],
    truncate: ["up-file"],
    mkdir: ["../outside/new", "up-dir/new", "absolute-dir/new", ".."],
    symlink: [
      "../outside/new",
      "up-dir/new",
      "absolute-dir/new",
      "..",
      "/etc/passwd at n1",
      "../outside at n2",
      "sub/../../outside at n3",
      "../../../outside at sub/deep/n5",
    ],
    "rename-to": ["../outside/new", "up-dir/new", "absolute-dir/new", ".."],
    "link-to": ["../outside/new", "up-dir/new", "absolute-dir/new", ".."],
    unlink: ["../outside/canary.txt", "up-dir/canary.txt", "absolute-dir/canary.txt", "up-dir/room", ".."],
    rmdir: ["../outside/canary.txt", "up-dir/canary.txt", "absolute-dir/canary.txt", "up-dir/room", ".."],
    "rename-from": ["../outside/canary.txt", "up-dir/canary.txt", "absolute-dir/canary.txt", "up-dir/room", ".."],
    "link-from": ["../outside/canary.txt", "up-dir/canary.txt", "absolute-dir/canary.txt", "up-dir/room", "..", ".", "up-file", "absolute-file"],
    times: ["../outside/canary.txt", "up-dir/canary.txt", "absolute-dir/canary.txt", "up-dir/room", "..", "up-file", "absolute-file"],
    below: ["../inside.txt", "deep/../../inside.txt", "deep/good-up"],
    mount: ["proc", "sys"],
  },
  ok: {
    symlink: ["../../inside.txt at sub/deep/n4"],
  },
  "ok ": {
    create: ["dangling-in"],
  },
  "ok ../outside/canary.txt": {
    readlink: ["up-file"],
  },
  "ok INSIDE": {
    open: ["sub/../inside.txt", "inside.txt", "sub/deep/good-up", "good-dir/../inside.txt", "long-39"],
  },
  "ok LEAF": {
    open: ["sub//deep///leaf.txt", "sub/./deep/./leaf.txt", "good-file", "good-dir/deep/leaf.txt"],
    below: ["deep/leaf.txt"],
  },
  "ok directory": {
    open: ["sub/..", ".", "./"],
  },
  "ok loop-b": {
    readlink: ["loop-a"],
  },
  "ok sub/deep/leaf.txt": {
    readlink: ["good-file"],
  },
  "ok value": {
    stat: [
      "sub/..",
      "sub/../inside.txt",
      ".",
      "./",
      "inside.txt",
      "sub//deep///leaf.txt",
      "sub/./deep/./leaf.txt",
      "good-file",
      "good-dir/deep/leaf.txt",
      "sub/deep/good-up",
      "good-dir/../inside.txt",
      "long-39",
      "fifo",
      "socket",
    ],
    "stat-nofollow": ["up-file", "loop-a", "good-file"],
  },
  refused: {
    root: ["/proc", "/proc/self", "/sys"],
  },
  unsupported: {
    open: ["fifo", "socket"],
    create: ["fifo"],
  },
}

const rounds = !isFull ? 300 : 50_000
const flat = (tried: Readonly<Record<string, string>>): ReadonlyArray<string> => Object.entries(tried).map(([what, result]) => `${what} → ${result}`)
const wanted = Object.entries(expected).flatMap(([result, tried]) =>
  Object.entries(tried).flatMap(([what, paths]) => paths.map((path) => `${what} ${path} → ${result}`)),
)

interface Answer {
  readonly holds: "descriptors" | "paths"
  readonly tried: Readonly<Record<string, string>>
  readonly entries: ReadonlyArray<string>
  readonly odd: ReadonlyArray<string>
  readonly raced: Readonly<Record<"rounds" | "escapes" | "inside" | "refused" | "naive" | "moved", number>>
  readonly isUntouched: boolean
}

const isLinux = process.platform === "linux"
for (const engine of engines)
  for (const holds of isLinux ? (["descriptors", "paths"] as const) : (["paths"] as const)) {
    t.test(`nothing leads out of a given directory on ${engine}, held by ${holds}`, async (t) => {
      const { tried, entries, odd, raced, isUntouched, ...rest } = await answer<Answer>(engine, "files-program.ts", [holds, String(rounds)], {
        env: { STELE_TEST_NODE: process.execPath },
      })
      t.equal(rest.holds, holds)
      // Where the kernel shows nothing as files there is nothing to refuse.
      const isOurs = (what: string): boolean => isLinux || !/^(root|mount) /.test(what)
      t.strictSame([...flat(tried)].filter(isOurs).sort(), [...wanted].filter(isOurs).sort())
      for (const entry of ["fifo fifo", "socket socket", "inside.txt regular-file", "sub directory", "up-dir symbolic-link"])
        t.ok(entries.includes(entry), entry)
      t.notOk(
        entries.some((entry) => /^\.\.? /.test(entry)),
        "without . and ..",
      )
      t.strictSame(odd, ["deep", "error illegal-byte-sequence", "made-by-link"])
      t.comment(`race: ${JSON.stringify(raced)}`)
      t.equal(raced.rounds, rounds)
      t.ok(raced.inside > 0 && raced.refused > 0, "both sides of the swap were seen")
      t.ok(raced.moved > 0, "and a link that leads out where its directory was moved to")
      if (holds === "descriptors") {
        t.equal(raced.escapes, 0)
        t.ok(isUntouched, "nothing outside was changed")
      }
    })
  }

t.test("under Deno's own permissions a directory is held by its path, and they hold besides", async (t) => {
  // On the disk of the checkout: temporary files may lie below /dev, which no permission of Deno's but all of them opens.
  const cache = fileURLToPath(new URL("../../.cache", import.meta.url))
  mkdirSync(cache, { recursive: true })
  const folder = mkdtempSync(join(realpathSync(cache), "stele-limited-"))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const given = join(folder, "given")
  mkdirSync(given)
  writeFileSync(join(folder, "outside"), "CANARY")
  symlinkSync("../outside", join(given, "way-out"))
  const flags = [`--allow-read=${given}`, `--allow-write=${given}`]
  t.strictSame(await answer("deno", "files-limited-program.ts", [given], { flags }), {
    holds: "paths",
    answers: [{ tag: "ok", val: 3 }, "ok", "not-permitted", "not-permitted", "not-permitted", "no-entry", "ok", "ok"],
    kernel: "err",
  })
})
