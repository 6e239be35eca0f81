/**
 * The tables of usage. A record is one row keyed by tenant and id: ids of one time lie together, so that a new one goes to the
 * end and one sent again finds itself. `docs/adr/0015-usage.md` has the figures of the other shapes.
 */
export const usageTables = `
  CREATE TABLE usage (
    tenant BLOB NOT NULL,
    id BLOB NOT NULL CHECK (length(id) = 16),
    payload BLOB NOT NULL,
    sum INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE usage_name (
    id INTEGER PRIMARY KEY,
    tenant BLOB NOT NULL,
    name BLOB NOT NULL,
    sum INTEGER NOT NULL,
    UNIQUE (tenant, name)
  ) STRICT;
  CREATE TABLE usage_day (
    tenant BLOB NOT NULL,
    day INTEGER NOT NULL,
    plugin INTEGER NOT NULL,
    payload BLOB NOT NULL,
    sum INTEGER NOT NULL,
    PRIMARY KEY (tenant, day, plugin)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE usage_forgotten (
    tenant BLOB PRIMARY KEY,
    id BLOB NOT NULL CHECK (length(id) = 16),
    sum INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE usage_total (
    tenant BLOB PRIMARY KEY,
    keys INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    sums INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
`
