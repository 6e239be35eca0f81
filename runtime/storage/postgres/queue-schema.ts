/**
 * The queue's tables. A lane is a tenant's part of a queue, counted by state: only its tenant's writers touch its row, under the
 * tenant's lock. What all tenants share, the ring in which lanes with ready jobs stand and the times at which the others
 * wake, is a table of its own, so that a busy tenant's commits and the giving out of turns do not wait for one another.
 */

/** "queu": one lease of a queue without a tenant gives out turns at a time. */
const turnKey = 0x7175_6575

const jobColumns = `lane bigint NOT NULL, id bigint NOT NULL, state integer NOT NULL CHECK (state BETWEEN 0 AND 4), priority integer NOT NULL, rank bigint NOT NULL,
  wake_us bigint, token bigint NOT NULL, attempts integer NOT NULL, attempts_max integer NOT NULL, backoff_ms bigint NOT NULL, backoff_ms_max bigint NOT NULL,
  enqueued_us bigint NOT NULL, scheduled_us bigint, sum bigint NOT NULL, order_key bytea, idempotency_key bytea, error bytea, payload bytea NOT NULL,
  PRIMARY KEY (tenant, lane, id)`

/**
 * Whose turn it is, and how many jobs each gives; who has given all of a turn goes to the end. One statement, so that a
 * process that is stopped in the middle holds nothing: the server goes on. Turns lost in a crash cost nothing but turns, hence no
 * waiting for the disk.
 */
const turns = `
  CREATE FUNCTION stele.queue_turns(queue bytea, wanted integer, quota integer) RETURNS TABLE (whose bytea, jobs integer) LANGUAGE plpgsql VOLATILE SECURITY INVOKER AS $turns$
    DECLARE
      tenants bytea[]; ready bigint[]; given integer[]; ring integer[]; ended integer[] := '{}'; place integer := 1; who integer; n integer; part integer := -1;
      unfinished integer; behind integer[];
    BEGIN
      PERFORM set_config('synchronous_commit', 'off', true);
      PERFORM pg_advisory_xact_lock(${turnKey}, hashtext(encode(queue, 'hex')));
      SELECT array_agg(r.tenant ORDER BY r.turn), array_agg(r.ready ORDER BY r.turn), array_agg(r.given ORDER BY r.turn)
        INTO tenants, ready, given
        FROM (SELECT g.tenant, g.turn, g.given, l.ready FROM stele.queue_ring g JOIN stele.queue_lane l ON l.tenant = g.tenant AND l.key = g.key
          WHERE g.key = queue AND g.turn IS NOT NULL AND l.ready > 0 ORDER BY g.turn LIMIT wanted) AS r;
      ring := ARRAY(SELECT generate_series(1, coalesce(cardinality(tenants), 0)));
      WHILE wanted > 0 AND place <= cardinality(ring) LOOP
        who := ring[place];
        place := place + 1;
        n := least(greatest(1, quota - given[who]), wanted, ready[who]);
        ready[who] := ready[who] - n;
        wanted := wanted - n;
        whose := tenants[who];
        jobs := n;
        RETURN NEXT;
        CONTINUE WHEN ready[who] = 0;
        IF given[who] + n < quota THEN
          unfinished := who;
          part := given[who] + n;
          EXIT;
        END IF;
        given[who] := 0;
        ended := ended || who;
        ring := ring || who;
      END LOOP;
      behind := ARRAY(SELECT r FROM unnest(ring[place:]) WITH ORDINALITY AS u(r, i) WHERE r = ANY(ended) ORDER BY i);
      IF unfinished = ANY(ended) THEN
        behind := unfinished || behind;
      END IF;
      FOREACH who IN ARRAY behind LOOP
        UPDATE stele.queue_ring SET turn = nextval('stele.queue_turn'), given = 0
          WHERE ctid IN (SELECT ctid FROM stele.queue_ring WHERE tenant = tenants[who] AND key = queue AND turn IS NOT NULL FOR UPDATE SKIP LOCKED);
      END LOOP;
      IF unfinished IS NOT NULL THEN
        UPDATE stele.queue_ring SET given = part
          WHERE ctid IN (SELECT ctid FROM stele.queue_ring WHERE tenant = tenants[unfinished] AND key = queue AND turn IS NOT NULL FOR UPDATE SKIP LOCKED);
      END IF;
    END $turns$;`

/** `table` makes one whose rows are their tenants' own. */
export const queueTables = (table: (name: string, columns: string) => string, [service, worker]: readonly [string, string]): string => `
  ${table("queue_lane", "key bytea NOT NULL, id bigint NOT NULL, ready bigint NOT NULL, waiting bigint NOT NULL, blocked bigint NOT NULL, leased bigint NOT NULL, dead bigint NOT NULL, PRIMARY KEY (tenant, key), UNIQUE (tenant, id)")}
  ${table("queue_ring", "key bytea NOT NULL, turn bigint, given integer NOT NULL DEFAULT 0, wake_us bigint, PRIMARY KEY (tenant, key), CHECK ((turn IS NULL) <> (wake_us IS NULL))")}
  CREATE INDEX queue_ring_turn ON stele.queue_ring (key, turn) WHERE turn IS NOT NULL;
  CREATE INDEX queue_ring_wake ON stele.queue_ring (key, wake_us) WHERE wake_us IS NOT NULL;
  CREATE SEQUENCE stele.queue_turn;
  GRANT USAGE ON SEQUENCE stele.queue_turn TO ${service}, ${worker};
  ${table("queue_job", jobColumns)}
  CREATE INDEX queue_job_ready ON stele.queue_job (tenant, lane, rank, id) WHERE state = 0;
  CREATE INDEX queue_job_wake ON stele.queue_job (tenant, lane, wake_us) WHERE wake_us IS NOT NULL;
  CREATE INDEX queue_job_order ON stele.queue_job (tenant, lane, order_key, id) WHERE order_key IS NOT NULL AND state < 4;
  CREATE INDEX queue_job_dead ON stele.queue_job (tenant, lane, id) WHERE state = 4;
  ${table("queue_schedule", "lane bigint NOT NULL, name bytea NOT NULL, next_us bigint NOT NULL, spec bytea NOT NULL, payload bytea NOT NULL, sum bigint NOT NULL, PRIMARY KEY (tenant, lane, name)")}
  CREATE INDEX queue_schedule_next ON stele.queue_schedule (tenant, lane, next_us);
  ${table("queue_idempotency", "lane bigint NOT NULL, key bytea NOT NULL, job bigint NOT NULL, digest bytea NOT NULL, until_us bigint NOT NULL, sum bigint NOT NULL, PRIMARY KEY (tenant, lane, key)")}
  CREATE INDEX queue_idempotency_end ON stele.queue_idempotency (tenant, lane, until_us);${turns}
  REVOKE ALL ON FUNCTION stele.queue_turns(bytea, integer, integer) FROM PUBLIC;
  GRANT EXECUTE ON FUNCTION stele.queue_turns(bytea, integer, integer) TO ${worker};`
