/** Starts the S3 server of these tests, see `s3-server.ts`. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"

/** What `s3rver` takes. */
export const credentials = { accessKeyId: "S3RVER", secretAccessKey: "S3RVER" }

export interface S3Server {
  /** The server itself. */
  readonly direct: string
  /** With conditional puts, lists of uploads, and faults. */
  readonly front: string
  /** What the next requests to the front meet; answers how many uploads in parts are open. */
  faults(of: { readonly slow?: number; readonly hang?: number; readonly deny?: string }): Promise<number>
  stop(): Promise<void>
}

export async function startS3(folder: string): Promise<S3Server> {
  const child = spawn(process.execPath, ["--no-deprecation", fileURLToPath(new URL("s3-server.ts", import.meta.url)), folder], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  let said = ""
  child.stdout.on("data", (data: Buffer) => (said += data.toString()))
  while (!said.includes("\n")) {
    const [event] = await Promise.race([once(child.stdout, "data"), once(child, "exit").then(() => ["exit"])])
    if (event === "exit") throw new Error(`The S3 server did not start: ${said}`)
  }
  const { port, front } = JSON.parse(said) as { readonly port: number; readonly front: number }
  return {
    direct: `http://127.0.0.1:${port}`,
    front: `http://127.0.0.1:${front}`,
    faults: async (of) => Number(await (await fetch(`http://127.0.0.1:${front}/-/faults`, { method: "POST", body: JSON.stringify(of) })).text()),
    async stop() {
      child.kill("SIGKILL")
      await once(child, "close")
    },
  }
}
