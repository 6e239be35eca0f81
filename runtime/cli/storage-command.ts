/** The commands under `stele storage`, their flags and their help. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { action, isOn, text } from "./flag.ts"

const address = Argument.String("ADDRESS").pipe(
  Argument.withDescription("A store: sqlite:PATH, sqlite-tenants:FOLDER, postgres://USER@HOST/DATABASE, pglite:PATH"),
)

const storageInfo = Command.make(
  "info",
  {
    address: Argument.String("ADDRESS").pipe(
      Argument.withDescription("A store: sqlite:PATH, postgres://USER@HOST/DATABASE, pglite:PATH; or the folder of an archive"),
    ),
  },
  action(async (flags) => (await import("./storage.ts")).info(flags)),
).pipe(
  Command.withDescription("Show what a store holds, in numbers; or which commits an archive can restore, and its gaps."),
  Command.withShortDescription("Show what a store or an archive holds"),
  Command.withExamples([
    { command: "stele storage info sqlite:stele.db" },
    { command: "stele storage info backup/", description: "Generations, their spans in time, gaps; exit code 3 when objects are missing" },
  ]),
)

const objects = text("objects", "ADDRESS", "Where its objects are, if not beside it: folder:PATH or s3://BUCKET/PREFIX?…")

const storageCheck = Command.make(
  "check",
  {
    address,
    objects,
    storageKey: text("storage-key", "SOURCE", "The store's master key: whether everything that is sealed opens is looked at too"),
    acceptLoss: isOn("accept-loss", "Go on without commits that were acknowledged and are gone"),
  },
  action(async (flags) => (await import("./storage.ts")).check(flags)),
).pipe(
  Command.withDescription("Read every row and every object of a store and say what is not as it was written, or not there; exit code 3 when something is not."),
  Command.withShortDescription("Find damage in a store"),
  Command.withExamples([
    { command: "stele storage check sqlite:stele.db" },
    { command: "stele storage check sqlite:stele.db --storage-key file:stele.key", description: "Of a sealed store" },
  ]),
)

const storageCollect = Command.make(
  "collect",
  {
    address,
    objects,
    grace: text("grace", "TIME", "Age from which an object that nobody refers to is removed: 90m, 24h (default 24h)"),
    dryRun: isOn("dry-run", "Say what would be removed, and change nothing"),
  },
  action(async (flags) => (await import("./storage.ts")).collect(flags)),
).pipe(
  Command.withDescription(
    "Remove objects that nobody refers to, while the store is used. Hosts and stele up do so by themselves every hour. A grace time under a minute is for stores that nobody writes to.",
  ),
  Command.withShortDescription("Remove objects that nobody refers to"),
  Command.withExamples([{ command: "stele storage collect sqlite:stele.db --dry-run" }, { command: "stele storage collect sqlite:stele.db --grace 1h" }]),
)

const storageMove = Command.make(
  "move",
  {
    address: Argument.String("FROM").pipe(Argument.withDescription("The store that is used now")),
    to: Argument.String("TO").pipe(Argument.withDescription("The store that takes its place: new, empty, or begun by the same move")),
    pause: text("pause", "TIME", "Longest time that writers are stopped: 500ms, 10s (default 1s)"),
    undo: isOn("undo", "Give up a move that has not ended: FROM takes writes again"),
    dryRun: isOn("dry-run", "Say what would be copied, and change nothing"),
  },
  action(async (flags) => (await import("./storage.ts")).move(flags)),
).pipe(
  Command.withDescription(
    "Move a store to another one while it is used: copies until little is left, stops writers once and shortly, compares both sides, switches. Run it again after it was stopped at any step.",
  ),
  Command.withShortDescription("Move a store while it is used"),
  Command.withExamples([{ command: "stele storage move sqlite:stele.db sqlite:/mnt/big/stele.db", description: "Afterwards the old file can be deleted" }]),
)

const keyFile = text("key-file", "FILE", "The key of an encrypted archive: 32 bytes, raw, hex or base64 (or STELE_ARCHIVE_KEY)")
const archive = Argument.String("FOLDER").pipe(Argument.withDescription("The folder of an archive"))

const storageBackup = Command.make(
  "backup",
  {
    address: Argument.String("ADDRESS").pipe(Argument.withDescription("A store: sqlite:PATH, or postgres://ROLE@HOST/DATABASE, ROLE having REPLICATION")),
    to: Flag.String("to").pipe(Flag.withMetavar("FOLDER"), Flag.withDescription("The folder of the archive, made when it is not there")),
    keyFile,
    follow: isOn("follow", "Go on: what is committed is archived within a second"),
    keep: text("keep", "N", "Generations to keep; older ones are deleted (default all)"),
    objects,
    skipDrill: isOn("skip-drill", "Do not restore the backup for practice"),
    dryRun: isOn("dry-run", "Say what would be archived, and write nothing"),
  },
  action(async (flags) => (await import("./archive.ts")).backup(flags)),
).pipe(
  Command.withDescription(
    "Archive a store while it is used: a snapshot and every commit after it; of a PostgreSQL server a base backup and its log. Then restore it for practice, and say how long that took.",
  ),
  Command.withShortDescription("Archive a store while it is used"),
  Command.withExamples([
    { command: "stele storage backup sqlite:stele.db --to backup/", description: "Now, and proved by restoring it" },
    { command: "stele storage backup sqlite:stele.db --to backup/ --follow", description: "Until interrupted, every commit within a second" },
    {
      command: "stele storage backup sqlite:stele.db --to backup/ --key-file stele.key",
      description: "Encrypted; head -c 32 /dev/urandom > stele.key makes a key",
    },
    { command: "stele storage backup postgres://archiver@db.example.com/stele --to backup/ --follow", description: "A server, from any machine" },
  ]),
)

const storageRestore = Command.make(
  "restore",
  {
    folder: archive,
    to: Flag.String("to").pipe(Flag.withMetavar("ADDRESS"), Flag.withDescription("Where the store is made: sqlite:PATH; a folder for a server's data")),
    at: text("at", "TIME", "The state at a time, such as 2026-11-20T18:30:00Z, or at a place in a server's log, such as 16/B374D848 (default the newest)"),
    atCommit: text("at-commit", "N", "The state after a commit of a SQLite store"),
    generation: text("generation", "N", "Of this generation instead of the newest that has it"),
    keyFile,
    objects,
    replace: isOn("replace", "Put it in the place of a store that is there and that nobody has open"),
    unproved: isOn("unproved", "Write a server's data folder and start no server on it here: nothing is proved"),
    dryRun: isOn("dry-run", "Say what would be restored, and write nothing"),
  },
  action(async (flags) => (await import("./archive.ts")).restore(flags)),
).pipe(
  Command.withDescription(
    "Make a store from an archive, as it was at any commit or time. It gets its name when every row of it is proved; for a server's data folder that takes the server's programs.",
  ),
  Command.withShortDescription("Make a store from an archive"),
  Command.withExamples([
    { command: "stele storage restore backup/ --to sqlite:stele.db", description: "The newest state" },
    { command: "stele storage restore backup/ --to sqlite:then.db --at 2026-11-20T18:30:00Z" },
    { command: "stele storage restore backup/ --to sqlite:then.db --at-commit 4711 --dry-run" },
    { command: "stele storage restore backup/ --to /var/lib/postgresql/restored", description: "A server's data folder, ready to be started" },
  ]),
)

const storageDrill = Command.make(
  "drill",
  { folder: archive, store: text("store", "ADDRESS", "The store that is archived: counts what the archive lacks of it"), keyFile },
  action(async (flags) => (await import("./archive.ts")).drill(flags)),
).pipe(
  Command.withDescription(
    "Restore an archive for practice: into a temporary store, every row checked, thrown away. Says how long it took (RTO) and what would be lost (RPO).",
  ),
  Command.withShortDescription("Restore for practice, and measure it"),
  Command.withExamples([{ command: "stele storage drill backup/" }, { command: "stele storage drill backup/ --store sqlite:stele.db --json" }]),
)

const storageMigrate = Command.make(
  "migrate",
  {
    address: Argument.String("ADDRESS").pipe(
      Argument.withDescription("sqlite:PATH, pglite:PATH, or postgres://OWNER@HOST/DATABASE, OWNER being the role that owns the database"),
    ),
    dryRun: isOn("dry-run", "Say from which format to which, and change nothing"),
  },
  action(async (flags) => (await import("./storage.ts")).migrate(flags)),
).pipe(
  Command.withDescription(
    "Take a store to this version's format. A database is set up as well: schema, roles and tables; passwords come from files that STELE_STORAGE_PASSWORD_FILE (the owner's), STELE_STORAGE_SERVICE_PASSWORD_FILE and STELE_STORAGE_WORKER_PASSWORD_FILE (those of the roles that are made) name.",
  ),
  Command.withShortDescription("Set up a database, or take a store to this version"),
  Command.withExamples([{ command: "stele storage migrate postgres://owner@localhost/stele" }, { command: "stele storage migrate sqlite:stele.db --dry-run" }]),
)

const storageRotate = Command.make(
  "rotate",
  {
    address,
    storageKey: text("storage-key", "SOURCE", "The store's master key: file:PATH or env:NAME"),
    objects,
    newStorageKey: text("new-storage-key", "SOURCE", "Exchange the master key for this one, and leave the tenants' keys as they are"),
    tenant: text("tenant", "NAME", "Only this tenant's keys"),
    dryRun: isOn("dry-run", "Say how many tenants it concerns, and change nothing"),
  },
  action(async (flags) => (await import("./storage-rotate.ts")).rotateKeys(flags)),
).pipe(
  Command.withDescription(
    "Give tenants new data keys, seal everything by them, objects and jobs too, destroy the old ones; a store that is not sealed yet is sealed. Run it again after it was stopped at any step.",
  ),
  Command.withShortDescription("Encrypt a store, rotate its keys"),
  Command.withExamples([
    { command: "stele storage rotate sqlite:stele.db --storage-key file:stele.key" },
    { command: "stele storage rotate sqlite:stele.db --storage-key file:stele.key --new-storage-key file:next.key", description: "Another master key" },
  ]),
)

export const storage = Command.make("storage").pipe(
  Command.withDescription("Look into a store, check it, back it up, restore it, move it."),
  Command.withShortDescription("Look into a store, check it, back it up"),
  Command.withSubcommands([storageInfo, storageCheck, storageCollect, storageBackup, storageRestore, storageDrill, storageMove, storageMigrate, storageRotate]),
)
