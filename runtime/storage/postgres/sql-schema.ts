/**
 * What holds services' SQL in PostgreSQL. A service has a schema, a role that reaches nothing else, and a function that carries its
 * statements out as that role: inside of such a function the server lets nobody take on another role or end the
 * transaction, whatever the statement is. Whose rows it sees is a setting with a signature that it cannot make.
 */
import { serviceRole, workerRole } from "./roles.ts"
import { hostHex } from "./tenant.ts"

/** Of both: the schema of a service's tables, and the role that its statements run as. */
export const spaceOf = (service: string): string => `stele_sql_${service}`
/** The role that reads rows of all tenants. */
export const seeingRole = (service: string): string => `${spaceOf(service)}_all`
export const runOf = (service: string): string => `stele_sql.run_${service}`
export const runOfAll = (service: string): string => `stele_sql.all_${service}`
export const eraseOf = (service: string): string => `stele_sql.erase_${service}`

/** Error states of ours: PostgreSQL uses none that begins with these. */
export const [rowsState, refusedState] = ["STROW", "STREF"] as const

/**
 * For all services: who binds a transaction to a tenant, and what the policies ask. The signature is over the tenant, the session and the
 * time at which its transaction began, so one that was seen is worth nothing in another; the length of the key is fixed, and it stands on both
 * sides. Run as the owner, whom the secret's own policy lets read it.
 */
export const sqlFormat = `
  CREATE SCHEMA stele_sql;
  GRANT USAGE ON SCHEMA stele_sql TO ${serviceRole}, ${workerRole};
  CREATE TABLE stele_sql.secret (is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only), secret bytea NOT NULL CHECK (length(secret) = 32));
  INSERT INTO stele_sql.secret (secret) SELECT sha256(string_agg(uuid_send(gen_random_uuid()), '')) FROM generate_series(1, 4);
  ALTER TABLE stele_sql.secret ENABLE ROW LEVEL SECURITY;
  ALTER TABLE stele_sql.secret FORCE ROW LEVEL SECURITY;
  CREATE POLICY own ON stele_sql.secret FOR SELECT TO CURRENT_USER USING (true);
  CREATE FUNCTION stele_sql.signed(whose text) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $f$
    SELECT encode(sha256(secret || convert_to(whose || ' ' || pg_backend_pid() || ' ' || extract(epoch FROM transaction_timestamp()), 'UTF8') || secret), 'hex') FROM stele_sql.secret
  $f$;
  REVOKE ALL ON FUNCTION stele_sql.signed(text) FROM PUBLIC;
  CREATE FUNCTION stele_sql.bind(whose text) RETURNS void LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $f$ BEGIN
    IF whose ~ '[^0-9a-f]' OR length(whose) % 2 <> 0 OR length(whose) NOT BETWEEN 2 AND 1024 THEN RAISE EXCEPTION 'a tenant has 1 to 512 bytes' USING ERRCODE = 'invalid_parameter_value'; END IF;
    PERFORM set_config('stele.sql_tenant', whose || '.' || stele_sql.signed(whose), true);
  END $f$;
  REVOKE ALL ON FUNCTION stele_sql.bind(text) FROM PUBLIC;
  GRANT EXECUTE ON FUNCTION stele_sql.bind(text) TO ${serviceRole};
  CREATE FUNCTION stele_sql.tenant() RETURNS bytea LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $f$
    DECLARE bound text := current_setting('stele.sql_tenant', true); whose text := split_part(bound, '.', 1);
    BEGIN RETURN CASE WHEN whose <> '' AND split_part(bound, '.', 2) = stele_sql.signed(whose) THEN decode(whose, 'hex') END; END $f$;
  `

/** Carries a statement out: rows as they are sent, the names of their columns with the first, and at the end how many were changed. */
const runBody = `
  #variable_conflict use_column
  DECLARE r record; n bigint := 0;
  BEGIN
    BEGIN
      FOR r IN EXECUTE statement USING integers, numbers, texts, blobs LOOP
        n := n + 1;
        IF n > rows_max THEN RAISE EXCEPTION 'more than % rows', rows_max USING ERRCODE = '${rowsState}'; END IF;
        names := CASE WHEN n = 1 THEN (SELECT array_agg(e.key ORDER BY e.place) FROM json_each(row_to_json(r)) WITH ORDINALITY AS e(key, value, place)) END;
        body := record_send(r);
        RETURN NEXT;
      END LOOP;
    EXCEPTION WHEN invalid_cursor_definition THEN
      -- It has no rows.
      EXECUTE statement USING integers, numbers, texts, blobs;
      GET DIAGNOSTICS n = ROW_COUNT;
    END;
    names := NULL; body := NULL; changes := n;
    RETURN NEXT;
  END`

const runFunction = (name: string, space: string, role: string, caller: string): string => `
  CREATE OR REPLACE FUNCTION ${name}(statement text, integers bigint[], numbers double precision[], texts text[], blobs bytea[], rows_max bigint)
    RETURNS TABLE (names text[], body bytea, changes bigint) LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = ${space}, pg_temp SET standard_conforming_strings = on SET row_security = on AS $f$ ${runBody} $f$;
  REVOKE ALL ON FUNCTION ${name} FROM PUBLIC;
  ALTER FUNCTION ${name} OWNER TO ${role};
  GRANT EXECUTE ON FUNCTION ${name} TO ${caller};`

/** Up to `count_max` of the bound tenant's rows, children before parents; fewer means that none is left. */
const eraseFunction = (service: string): string => `
  CREATE OR REPLACE FUNCTION ${eraseOf(service)}(count_max bigint) RETURNS bigint LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog AS $f$
  DECLARE t regclass; n bigint; done bigint := 0; before bigint; held text;
  BEGIN
    LOOP
      before := done; held := NULL;
      FOR t IN SELECT polrelid FROM pg_policy JOIN pg_class c ON c.oid = polrelid
          WHERE polname = 'tenant' AND relkind = 'r' AND relnamespace = '${spaceOf(service)}'::regnamespace ORDER BY polrelid LOOP
        BEGIN
          EXECUTE format('DELETE FROM %s WHERE ctid = ANY (ARRAY(SELECT ctid FROM %1$s WHERE tenant = stele_sql.tenant() LIMIT $1))', t) USING count_max - done;
          GET DIAGNOSTICS n = ROW_COUNT;
          done := done + n;
        EXCEPTION WHEN foreign_key_violation THEN held := SQLERRM;
        END;
        IF done >= count_max THEN RETURN done; END IF;
      END LOOP;
      IF done = before THEN
        IF held IS NOT NULL THEN RAISE EXCEPTION '%', held USING ERRCODE = 'foreign_key_violation'; END IF;
        RETURN done;
      END IF;
    END LOOP;
  END $f$;
  REVOKE ALL ON FUNCTION ${eraseOf(service)} FROM PUBLIC;
  ALTER FUNCTION ${eraseOf(service)} OWNER TO ${spaceOf(service)};
  GRANT EXECUTE ON FUNCTION ${eraseOf(service)} TO ${serviceRole};`

/** A service's schema and functions, made or brought to this version. Its roles are there. */
export const spaceSql = (service: string): string => {
  const [space, seeing] = [spaceOf(service), seeingRole(service)]
  return `DO $stele$ BEGIN
  CREATE SCHEMA IF NOT EXISTS ${space};
  REVOKE ALL ON SCHEMA ${space} FROM PUBLIC, ${space}, ${seeing};
  GRANT USAGE ON SCHEMA ${space}, stele_sql TO ${space}, ${seeing};
  -- Who owns a function must be able to make one there, as long as it is handed over.
  GRANT CREATE ON SCHEMA stele_sql TO ${space}, ${seeing};
  ${runFunction(runOf(service), space, space, serviceRole)}
  ${runFunction(runOfAll(service), space, seeing, workerRole)}
  ${eraseFunction(service)}
  REVOKE CREATE ON SCHEMA stele_sql FROM ${space}, ${seeing};
END $stele$`
}

/** Tables of the runner's own: read by everybody, written by migrations. */
const isHistory = (service: string): string => `relname = '${service}_migration'`

/** Refuses what the rules say, in SQL: `faults` is a query of one text, of which each row is one too many. */
const refuse = (faults: string): string => `
  SELECT fault INTO what FROM (${faults}) AS f(fault) LIMIT 1;
  IF FOUND THEN RAISE EXCEPTION '%', what USING ERRCODE = '${refusedState}'; END IF;`

/**
 * After each step: gives new tables policies and grants, and holds everything in the schema against the rules of ADR 0020. What is not new is only
 * read, so that no lock is taken on a table that is in use.
 */
export const settleSql = (service: string, shared: ReadonlyArray<string>): string => {
  const [space, seeing] = [spaceOf(service), seeingRole(service)]
  const inSpace = `relnamespace = '${space}'::regnamespace`
  const tenant = `(SELECT attnum FROM pg_attribute WHERE attrelid = c.oid AND attname = 'tenant' AND NOT attisdropped)`
  const bound = "tenant = (SELECT stele_sql.tenant())"
  const isHost = `(SELECT stele_sql.tenant()) = '\\x${hostHex}'::bytea`
  const isNew = "NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid)"
  const isShared = "EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid AND polname = 'shared')"
  const named = shared.map((name) => `'${name.replaceAll("'", "''")}'`).join(", ")
  return `DO $stele$
  DECLARE t record; what text;
  BEGIN
  PERFORM set_config('search_path', 'pg_catalog', true);
  ${refuse(`SELECT format('its %s "%s" is not called ${service}_…', CASE relkind WHEN 'v' THEN 'view' ELSE 'table' END, relname) FROM pg_class
    WHERE ${inSpace} AND relkind IN ('r', 'p', 'v') AND NOT starts_with(relname, '${service}_')`)}
  ${refuse(`SELECT format('"%s" is neither a table nor a view (kind %s): row-level security does not hold it', relname, relkind) FROM pg_class
    WHERE ${inSpace} AND relkind NOT IN ('r', 'p', 'v', 'i', 'I', 'S', 'c')`)}
  ${refuse(`SELECT format('"%s" is not the owner''s', relname) FROM pg_class WHERE ${inSpace} AND NOT pg_has_role(current_user, relowner, 'USAGE')
    OR ${inSpace} AND relowner IN ('${space}'::regrole, '${seeing}'::regrole)`)}
  ${refuse(`SELECT format('its table "%s" is UNLOGGED: a crash empties it', relname) FROM pg_class WHERE ${inSpace} AND relkind IN ('r', 'p') AND relpersistence <> 'p'`)}
  ${refuse(`SELECT format('its table "%s" has no column "tenant bytea NOT NULL", and no migration says that tenants share it', relname) FROM pg_class c
    WHERE ${inSpace} AND relkind IN ('r', 'p') AND NOT (${isHistory(service)}) AND NOT EXISTS (SELECT FROM pg_attribute
      WHERE attrelid = c.oid AND attname = 'tenant' AND atttypid = 'bytea'::regtype AND attnotnull AND NOT attisdropped)
      AND NOT (${isShared})${named === "" ? "" : ` AND NOT (${isNew} AND relname IN (${named}))`}`)}
  FOR t IN SELECT c.oid::regclass AS name, relname, c.oid, (${isHistory(service)}) AS is_history, ${tenant} IS NULL${named === "" ? "" : ` OR relname IN (${named})`} AS is_shared
      FROM pg_class c WHERE ${inSpace} AND relkind IN ('r', 'p') AND ${isNew} LOOP
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t.name);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', t.name);
    -- Migrations change rows of all tenants.
    EXECUTE format('CREATE POLICY owner ON %s TO CURRENT_USER USING (true) WITH CHECK (true)', t.name);
    EXECUTE format('GRANT SELECT ON %s TO ${space}, ${seeing}', t.name);
    IF NOT t.is_history THEN EXECUTE format('GRANT INSERT, UPDATE, DELETE ON %s TO ${space}', t.name); END IF;
    IF t.is_shared OR t.is_history THEN
      EXECUTE format('CREATE POLICY shared ON %s FOR SELECT TO ${space}, ${seeing} USING (true)', t.name);
      EXECUTE format('CREATE POLICY host ON %s TO ${space} USING (${isHost.replaceAll("'", "''")}) WITH CHECK (${isHost.replaceAll("'", "''")})', t.name);
    ELSE
      EXECUTE format('ALTER TABLE %s ADD CHECK (length(tenant) BETWEEN 1 AND 512)', t.name);
      EXECUTE format('CREATE POLICY tenant ON %s TO ${space} USING (${bound}) WITH CHECK (${bound})', t.name);
      EXECUTE format('CREATE POLICY everybody ON %s FOR SELECT TO ${seeing} USING (true)', t.name);
    END IF;
  END LOOP;
  ${refuse(`SELECT format('row-level security is not forced on its table "%s"', relname) FROM pg_class
    WHERE ${inSpace} AND relkind IN ('r', 'p') AND NOT (relrowsecurity AND relforcerowsecurity)`)}
  ${refuse(`SELECT format('its table "%s" lacks a policy', relname) FROM pg_class c WHERE ${inSpace} AND relkind IN ('r', 'p')
    AND (SELECT array_agg(polname::text ORDER BY polname) FROM pg_policy WHERE polrelid = c.oid) NOT IN ('{everybody,owner,tenant}', '{host,owner,shared}')`)}
  ${refuse(`SELECT format('the unique key "%s" of its table "%s" does not begin with tenant', indexrelid::regclass, relname) FROM pg_class c JOIN pg_index ON indrelid = c.oid
    WHERE ${inSpace} AND relkind IN ('r', 'p') AND (indisunique OR indisexclusion) AND NOT (${isShared}) AND indkey[0] IS DISTINCT FROM ${tenant}`)}
  ${refuse(`SELECT format('its table "%s" refers to "%s"', c.relname, confrelid::regclass) FROM pg_class c JOIN pg_constraint ON conrelid = c.oid
    WHERE ${inSpace} AND contype = 'f' AND (SELECT relnamespace FROM pg_class p WHERE p.oid = confrelid) <> relnamespace`)}
  ${refuse(`SELECT format('its table "%s" refers to rows of "%s" that may be another tenant''s', c.relname, confrelid::regclass) FROM pg_class c JOIN pg_constraint ON conrelid = c.oid
    WHERE ${inSpace} AND contype = 'f' AND EXISTS (SELECT FROM pg_policy WHERE polrelid = confrelid AND polname = 'tenant')
      AND NOT EXISTS (SELECT FROM unnest(conkey, confkey) AS pair(child, parent) WHERE child = ${tenant}
        AND parent = (SELECT attnum FROM pg_attribute WHERE attrelid = confrelid AND attname = 'tenant'))`)}
  ${refuse(`SELECT format('its view "%s" is not security_invoker', relname) FROM pg_class c WHERE ${inSpace} AND relkind = 'v'
    AND NOT coalesce((SELECT option_value::boolean FROM pg_options_to_table(reloptions) WHERE option_name = 'security_invoker'), false)`)}
  ${refuse(`SELECT format('its table "%s" has the rule "%s", which acts as the owner', relname, rulename) FROM pg_class c JOIN pg_rewrite ON ev_class = c.oid
    WHERE ${inSpace} AND rulename <> '_RETURN'`)}
  ${refuse(`SELECT format('its function "%s" is SECURITY DEFINER', proname) FROM pg_proc WHERE pronamespace = '${space}'::regnamespace AND prosecdef`)}
  FOR t IN SELECT c.oid::regclass AS name, relkind FROM pg_class c WHERE ${inSpace} AND relkind IN ('v', 'S') LOOP
    IF t.relkind = 'S' THEN EXECUTE format('GRANT USAGE ON SEQUENCE %s TO ${space}', t.name);
    ELSE EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO ${space}', t.name); EXECUTE format('GRANT SELECT ON %s TO ${seeing}', t.name); END IF;
  END LOOP;
  ${refuse(`SELECT format('"%s" is granted to %s: %s', relname, coalesce(nullif(grantee, 0)::regrole::text, 'everybody'), privilege_type) FROM pg_class c, aclexplode(relacl)
    WHERE ${inSpace} AND grantee <> relowner AND NOT (grantee IN ('${space}'::regrole, '${seeing}'::regrole) AND privilege_type = 'SELECT'
      OR grantee = '${space}'::regrole AND privilege_type IN ('INSERT', 'UPDATE', 'DELETE') AND NOT (${isHistory(service)}) OR grantee = '${space}'::regrole AND relkind = 'S' AND privilege_type = 'USAGE')`)}
  ${refuse(`SELECT format('a column of "%s" has grants of its own', relname) FROM pg_class c JOIN pg_attribute ON attrelid = c.oid WHERE ${inSpace} AND attacl IS NOT NULL`)}
  ${refuse(`SELECT format('its schema is granted to %s: %s', coalesce(nullif(grantee, 0)::regrole::text, 'everybody'), privilege_type) FROM pg_namespace, aclexplode(nspacl)
    WHERE nspname = '${space}' AND grantee <> nspowner AND NOT (grantee IN ('${space}'::regrole, '${seeing}'::regrole) AND privilege_type = 'USAGE')`)}
  ${refuse(`SELECT format('its role "%s" is more than a role without rights', rolname) FROM pg_roles WHERE rolname IN ('${space}', '${seeing}')
    AND (rolsuper OR rolbypassrls OR rolcanlogin OR rolcreaterole OR rolcreatedb OR rolreplication OR EXISTS (SELECT FROM pg_auth_members WHERE member = pg_roles.oid))`)}
  END $stele$`
}

/** What migrations must leave alone: every policy on the tables, as it is. */
export const policiesSql = (service: string): string =>
  `SELECT p.oid::text || ' ' || md5(p::text) AS policy, relname FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = polrelid WHERE relnamespace = '${spaceOf(service)}'::regnamespace`
