/**
 * PGlite as if it were at the other end of a socket. It is one session that never ends, and answers what it is given to the end before
 * it is asked again: so messages are handed over up to a point where a server would answer too, and each new stream begins
 * by undoing whatever the one before it left of a session.
 */
import type { Duplex } from "node:stream"

const { Duplex: Stream } = process.getBuiltinModule("node:stream")

/** What is used of a `PGlite`. */
export interface Instance {
  readonly waitReady: Promise<void>
  /** Whole messages of the protocol, and all that is answered. */
  execProtocolRaw(messages: Uint8Array): Promise<Uint8Array>
  close(): Promise<void>
}

const [query, sync, terminate] = ["Q", "S", "X"].map((letter) => letter.charCodeAt(0)) as [number, number, number]

/** A simple query: letter, length with itself, text, a zero byte. */
function queryOf(sql: string): Uint8Array {
  const text = Buffer.from(`${sql}\0`)
  const message = Buffer.alloc(5 + text.length)
  message[0] = query
  message.writeInt32BE(4 + text.length, 1)
  message.set(text, 5)
  return message
}

/** Where the last message ends after which a server answers; 0 when there is none yet. */
function answerable(bytes: Buffer): number {
  let [at, end] = [0, 0]
  while (at + 5 <= bytes.length) {
    const next = at + 1 + bytes.readInt32BE(at + 1)
    if (next > bytes.length) break
    if (bytes[at] === query || bytes[at] === sync) end = next
    // It would end the instance, which goes on to the next stream.
    if (bytes[at] === terminate) break
    at = next
  }
  return end
}

/** Makes streams of one instance: one is used at a time, and the next after it was ended. */
export function streamsOver(instance: Instance): () => Duplex {
  let last: Promise<unknown> = Promise.resolve()
  return () => {
    let isStarted = false
    let kept = Buffer.alloc(0)

    async function hear(stream: Duplex): Promise<void> {
      if (!isStarted) {
        // The first message has no letter.
        if (kept.length < 4 || kept.length < kept.readInt32BE(0)) return
        isStarted = true
        const start = kept.subarray(0, kept.readInt32BE(0))
        kept = kept.subarray(start.length)
        for (const undo of ["ROLLBACK", "DISCARD ALL"]) await instance.execProtocolRaw(queryOf(undo))
        stream.push(await instance.execProtocolRaw(start))
      }
      const end = answerable(kept)
      if (end === 0) return
      const messages = kept.subarray(0, end)
      kept = kept.subarray(end)
      stream.push(await instance.execProtocolRaw(messages))
    }

    return new Stream({
      read() {},
      write(chunk: Uint8Array, _encoding, done) {
        kept = Buffer.concat([kept, chunk])
        const heard = last.then(() => (this.destroyed ? undefined : hear(this)))
        last = heard.catch(() => {})
        heard.then(
          () => done(),
          (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
        )
      },
      final(done) {
        this.push(null)
        done()
      },
    })
  }
}
