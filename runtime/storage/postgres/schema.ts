/**
 * The tables in PostgreSQL: what is in each format, who may do what. Owned by the role that migrates; the service reads and
 * writes as a role that owns nothing and that the server's row-level security binds to one tenant at a time.
 */
import { queueTables } from "./queue-schema.ts"
import { serviceRole, workerRole } from "./roles.ts"
import { sqlFormat } from "./sql-schema.ts"
import { fenceKey } from "./tenant.ts"

export { serviceRole, workerRole }

/** How far the time of a commit may be from the server's, in µs, when it was reckoned from what the server said before. */
const putSkewUsMax = 100_000

/** The server's newest format that this code writes. */
export interface Migration {
  readonly sql: string
  /** The oldest code, by the format it knows, that can serve beside this one. */
  readonly servesFrom: number
}

/**
 * A table with its policies. Every key begins with the tenant, whose name a transaction binds as hexadecimal digits, since a
 * setting is text and a tenant may be any. An unbound transaction has '' there: it is no tenant, and finds nothing.
 */
const table = (name: string, columns: string): string => `
  CREATE TABLE stele.${name} (tenant bytea NOT NULL CHECK (length(tenant) BETWEEN 1 AND 512), ${columns});
  ALTER TABLE stele.${name} ENABLE ROW LEVEL SECURITY;
  ALTER TABLE stele.${name} FORCE ROW LEVEL SECURITY;
  CREATE POLICY tenant ON stele.${name} TO ${serviceRole}
    USING (tenant = decode(NULLIF(current_setting('stele.tenant', true), ''), 'hex'))
    WITH CHECK (tenant = decode(NULLIF(current_setting('stele.tenant', true), ''), 'hex'));
  CREATE POLICY everybody ON stele.${name} TO ${workerRole} USING (true) WITH CHECK (true);
  GRANT SELECT, INSERT, UPDATE, DELETE ON stele.${name} TO ${serviceRole}, ${workerRole};`

/**
 * A group of sets in one statement: see `put.ts`. First the locks that every writer takes, in the same order; each statement of
 * a volatile function sees what was committed when it began, so those that follow see what was waited for. No row: the
 * tenant is another than was thought, or the clock, or a fence is up; nothing was written.
 */
const putFunction = `
  CREATE FUNCTION stele.key_value_put(whose text, was bigint[], was_digest bytea, now_us bigint, new_revision bigint, new_sequence bigint, new_digest bytea,
    new_sum bigint, new_operation bytea, new_totals bigint[], row_revision bigint[], row_key bytea[], row_value bytea[], row_sum bigint[],
    change_revision bigint[], change_key bytea[], change_sum bigint[], key_bytes_more bigint)
  RETURNS TABLE (keys bigint, bytes bigint, sums bigint) LANGUAGE plpgsql VOLATILE SECURITY INVOKER AS $$
  #variable_conflict use_column
  DECLARE who bytea := decode(whose, 'hex');
  BEGIN
    PERFORM set_config('stele.tenant', whose, true), pg_advisory_xact_lock_shared(${fenceKey});
    IF abs((extract(epoch FROM clock_timestamp()) * 1000000)::bigint - now_us) > ${putSkewUsMax}
      OR EXISTS (SELECT FROM stele.format WHERE fence_to IS NOT NULL) THEN RETURN; END IF;
    UPDATE stele.tenant SET revision = new_revision, sequence = new_sequence, digest = new_digest, committed_us = now_us, sum = new_sum
      WHERE tenant = who AND revision = was[1] AND sequence = was[2] AND forgotten = was[3] AND committed_us = was[4] AND digest = was_digest;
    IF NOT FOUND THEN RETURN; END IF;
    RETURN QUERY WITH
      gone AS (SELECT count(*) AS keys, coalesce(sum(key_bytes_more + length(found.key) + length(found.value)), 0)::bigint AS bytes, coalesce(bit_xor(found.sum), 0) AS sums
        FROM unnest(row_key) AS asked(key) CROSS JOIN LATERAL (SELECT key, value, sum FROM stele.key_value WHERE tenant = who AND key = asked.key LIMIT 1) AS found),
      put AS (INSERT INTO stele.key_value (tenant, key, value, revision, sum) SELECT who, * FROM unnest(row_key, row_value, row_revision, row_sum)
        ON CONFLICT (tenant, key) DO UPDATE SET value = excluded.value, revision = excluded.revision, expires_us = NULL, sum = excluded.sum),
      changed AS (INSERT INTO stele.key_value_change (tenant, revision, key, kind, changed_us, sum)
        SELECT who, r, k, 0, now_us, s FROM unnest(change_revision, change_key, change_sum) AS u(r, k, s)),
      committed AS (INSERT INTO stele.commit_group (tenant, sequence, revision, operation, digest, committed_us)
        VALUES (who, new_sequence, new_revision, new_operation, new_digest, now_us)),
      total AS (INSERT INTO stele.total (tenant, name, keys, bytes, sums)
        SELECT who, 'key_value', new_totals[1] - gone.keys, new_totals[2] - gone.bytes, new_totals[3] # gone.sums FROM gone
          UNION ALL SELECT who, 'key_value_change', new_totals[4], new_totals[5], new_totals[6]
        ON CONFLICT (tenant, name) DO UPDATE SET keys = excluded.keys, bytes = excluded.bytes, sums = excluded.sums RETURNING name, keys, bytes, sums)
      SELECT total.keys, total.bytes, total.sums FROM total WHERE name = 'key_value';
  END $$;
  REVOKE ALL ON FUNCTION stele.key_value_put FROM PUBLIC;
  GRANT EXECUTE ON FUNCTION stele.key_value_put TO ${serviceRole};`

/**
 * The same for one set, the most frequent of all writes: values instead of arrays, and a statement for each row, each with a plan that the session
 * keeps, took a third less of the server's time than one statement over arrays of one. No `keys`: nothing was written.
 */
const setFunction = `
  CREATE FUNCTION stele.key_value_set(whose text, was_revision bigint, was_sequence bigint, was_forgotten bigint, was_us bigint, was_digest bytea, now_us bigint,
    new_digest bytea, new_sum bigint, new_operation bytea, row_key bytea, row_value bytea, row_sum bigint, change_sum bigint, key_bytes bigint,
    change_keys bigint, change_bytes bigint, change_sums bigint, INOUT keys bigint, INOUT bytes bigint, INOUT sums bigint)
  LANGUAGE plpgsql VOLATILE SECURITY INVOKER AS $$
  #variable_conflict use_column
  DECLARE
    who bytea := decode(whose, 'hex');
    total_keys bigint := keys; total_bytes bigint := bytes; total_sums bigint := sums; gone_bytes bigint; gone_sum bigint;
  BEGIN
    keys := NULL;
    PERFORM set_config('stele.tenant', whose, true), pg_advisory_xact_lock_shared(${fenceKey});
    IF abs((extract(epoch FROM clock_timestamp()) * 1000000)::bigint - now_us) > ${putSkewUsMax}
      OR EXISTS (SELECT FROM stele.format WHERE fence_to IS NOT NULL) THEN RETURN; END IF;
    UPDATE stele.tenant SET revision = was_revision + 1, sequence = was_sequence + 1, digest = new_digest, committed_us = now_us, sum = new_sum
      WHERE tenant = who AND revision = was_revision AND sequence = was_sequence AND forgotten = was_forgotten AND committed_us = was_us AND digest = was_digest;
    IF NOT FOUND THEN RETURN; END IF;
    SELECT key_bytes + length(value), sum INTO gone_bytes, gone_sum FROM stele.key_value WHERE tenant = who AND key = row_key;
    IF FOUND THEN
      UPDATE stele.key_value SET value = row_value, revision = was_revision + 1, expires_us = NULL, sum = row_sum WHERE tenant = who AND key = row_key;
      total_keys := total_keys - 1;
      total_bytes := total_bytes - gone_bytes;
      total_sums := total_sums # gone_sum;
    ELSE
      INSERT INTO stele.key_value (tenant, key, value, revision, sum) VALUES (who, row_key, row_value, was_revision + 1, row_sum);
    END IF;
    INSERT INTO stele.key_value_change (tenant, revision, key, kind, changed_us, sum) VALUES (who, was_revision + 1, row_key, 0, now_us, change_sum);
    INSERT INTO stele.commit_group (tenant, sequence, revision, operation, digest, committed_us)
      VALUES (who, was_sequence + 1, was_revision + 1, new_operation, new_digest, now_us);
    INSERT INTO stele.total (tenant, name, keys, bytes, sums)
      VALUES (who, 'key_value', total_keys, total_bytes, total_sums), (who, 'key_value_change', change_keys, change_bytes, change_sums)
      ON CONFLICT (tenant, name) DO UPDATE SET keys = excluded.keys, bytes = excluded.bytes, sums = excluded.sums;
    keys := total_keys;
    bytes := total_bytes;
    sums := total_sums;
  END $$;
  REVOKE ALL ON FUNCTION stele.key_value_set FROM PUBLIC;
  GRANT EXECUTE ON FUNCTION stele.key_value_set TO ${serviceRole};`

/** One value, bound to its tenant. No `sum`: there is none. The time matters only where the value has an end. */
const readFunction = `
  CREATE FUNCTION stele.key_value_read(whose text, wanted bytea, OUT value bytea, OUT revision bigint, OUT expires_us bigint, OUT sum bigint, OUT now_us bigint)
  LANGUAGE plpgsql VOLATILE SECURITY INVOKER AS $$
  #variable_conflict use_column
  DECLARE bound text := set_config('stele.tenant', whose, true); who bytea := decode(whose, 'hex');
  BEGIN
    SELECT value, revision, expires_us, sum INTO value, revision, expires_us, sum FROM stele.key_value WHERE tenant = who AND key = wanted;
    IF expires_us IS NOT NULL THEN now_us := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint; END IF;
  END $$;
  REVOKE ALL ON FUNCTION stele.key_value_read FROM PUBLIC;
  GRANT EXECUTE ON FUNCTION stele.key_value_read TO ${serviceRole};`

/** Tables that every write of a key touches. */
const written = ["tenant", "commit_group", "total", "key_value", "key_value_change"]

/** Each entry takes a store from the format of its index to the next, in one transaction with the number. */
export const migrations: ReadonlyArray<Migration> = [
  {
    servesFrom: 1,
    sql: `
  GRANT USAGE ON SCHEMA stele TO ${serviceRole}, ${workerRole};
  GRANT SELECT ON stele.format TO ${serviceRole}, ${workerRole};
  ${table("tenant", "revision bigint NOT NULL, sequence bigint NOT NULL, digest bytea NOT NULL, committed_us bigint NOT NULL, forgotten bigint NOT NULL, sum bigint NOT NULL, PRIMARY KEY (tenant)")}
  ${table("commit_group", "sequence bigint NOT NULL, revision bigint NOT NULL, operation bytea NOT NULL CHECK (length(operation) = 16), digest bytea NOT NULL CHECK (length(digest) = 32), committed_us bigint NOT NULL, PRIMARY KEY (tenant, sequence)")}
  ${table("total", 'name text COLLATE "C" NOT NULL, keys bigint NOT NULL, bytes bigint NOT NULL, sums bigint NOT NULL, PRIMARY KEY (tenant, name)')}
  ${table("key_value", "key bytea NOT NULL, value bytea NOT NULL, revision bigint NOT NULL, expires_us bigint, sum bigint NOT NULL, PRIMARY KEY (tenant, key)")}
  CREATE INDEX key_value_end ON stele.key_value (tenant, expires_us) WHERE expires_us IS NOT NULL;
  ${table("key_value_change", "revision bigint NOT NULL, key bytea NOT NULL, kind integer NOT NULL, changed_us bigint NOT NULL, sum bigint NOT NULL, PRIMARY KEY (tenant, revision)")}
  ${table("event_topic", "key bytea NOT NULL, id bigint NOT NULL, first bigint NOT NULL, last bigint NOT NULL, bytes bigint NOT NULL, sums bigint NOT NULL, PRIMARY KEY (tenant, key), UNIQUE (tenant, id)")}
  ${table("event", "topic bigint NOT NULL, sequence bigint NOT NULL, payload bytea NOT NULL, sum bigint NOT NULL, PRIMARY KEY (tenant, topic, sequence)")}
  ${table("log", "key bytea NOT NULL, id bigint NOT NULL, first bigint NOT NULL, last bigint NOT NULL, bytes bigint NOT NULL, sum bigint NOT NULL, PRIMARY KEY (tenant, key), UNIQUE (tenant, id)")}
  ${table("log_entry", "log bigint NOT NULL, position bigint NOT NULL, payload bytea NOT NULL, appended_us bigint NOT NULL, sum bigint NOT NULL, PRIMARY KEY (tenant, log, position)")}
  ${table("blob_reference", "key bytea NOT NULL, digest bytea NOT NULL CHECK (length(digest) = 32), bytes bigint NOT NULL, created_us bigint NOT NULL, revision bigint NOT NULL, sum bigint NOT NULL, PRIMARY KEY (tenant, key)")}
  ${table("usage", "id bytea NOT NULL CHECK (length(id) = 16), payload bytea NOT NULL, sum bigint NOT NULL, PRIMARY KEY (tenant, id)")}
  ${table("usage_name", "id bigint NOT NULL, name bytea NOT NULL, digest bytea NOT NULL GENERATED ALWAYS AS (sha256(name)) STORED, sum bigint NOT NULL, PRIMARY KEY (tenant, id), UNIQUE (tenant, digest)")}
  ${table("usage_day", "day bigint NOT NULL, plugin bigint NOT NULL, payload bytea NOT NULL, sum bigint NOT NULL, PRIMARY KEY (tenant, day, plugin)")}
  ${table("usage_forgotten", "id bytea NOT NULL CHECK (length(id) = 16), sum bigint NOT NULL, PRIMARY KEY (tenant)")}
  CREATE INDEX blob_reference_digest ON stele.blob_reference (digest);
${queueTables(table, [serviceRole, workerRole])}
  GRANT UPDATE (floor) ON stele.format TO ${serviceRole};
  GRANT UPDATE (fence_to, fence_state) ON stele.format TO ${workerRole};
  CREATE POLICY sums ON stele.total FOR SELECT TO CURRENT_USER USING (true);
  CREATE POLICY ends ON stele.key_value FOR SELECT TO CURRENT_USER USING (expires_us IS NOT NULL);
  CREATE INDEX key_value_end_of_all ON stele.key_value (expires_us) WHERE expires_us IS NOT NULL;
  CREATE FUNCTION stele.bytes_of_all(wanted text) RETURNS bigint LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog
    AS $$ SELECT (SELECT coalesce(sum(bytes), 0) FROM stele.total WHERE name = wanted)::bigint
      - CASE WHEN wanted = 'key_value' THEN (SELECT coalesce(sum(length(tenant) + 1 + length(key) + length(value)), 0) FROM stele.key_value
          WHERE expires_us <= (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)::bigint ELSE 0 END $$;
  CREATE FUNCTION stele.key_value_get(whose text, wanted bytea) RETURNS TABLE (value bytea, revision bigint, expires_us bigint, sum bigint, now_us bigint)
    LANGUAGE plpgsql VOLATILE SECURITY INVOKER AS $$ BEGIN
      PERFORM set_config('stele.tenant', whose, true);
      RETURN QUERY SELECT k.value, k.revision, k.expires_us, k.sum, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
        FROM stele.key_value k WHERE k.tenant = decode(whose, 'hex') AND k.key = wanted;
    END $$;
  ${putFunction}
  REVOKE ALL ON FUNCTION stele.key_value_get(text, bytea) FROM PUBLIC;
  GRANT EXECUTE ON FUNCTION stele.key_value_get(text, bytea) TO ${serviceRole};
  REVOKE ALL ON FUNCTION stele.bytes_of_all(text) FROM PUBLIC;
  GRANT EXECUTE ON FUNCTION stele.bytes_of_all(text) TO ${serviceRole}, ${workerRole};
  `,
  },
  {
    servesFrom: 1,
    // The server reads a check's text anew for each statement; who a tenant is, is held against the policy, and how long, by our code.
    sql: `
  ${written.map((name) => `ALTER TABLE stele.${name} DROP CONSTRAINT ${name}_tenant_check;`).join(" ")}
  ALTER TABLE stele.commit_group DROP CONSTRAINT commit_group_operation_check, DROP CONSTRAINT commit_group_digest_check;
  ${setFunction}
  ${readFunction}
  `,
  },
  { servesFrom: 1, sql: sqlFormat },
]

/** The format that this code writes. */
export const format = migrations.length

/** The oldest PostgreSQL that is served, as `server_version_num` and as it is called. */
export const serverMin = { number: 150_000, name: "15 or newer" }
