-- What runs in the user's transactions is written out for each table: it reads the columns that were named and no
-- other. Nothing refers to them in the catalog (no UPDATE OF, no WHEN on a column): DROP COLUMN and ALTER TYPE work.
-- Bodies are quoted as a whole (%L), for a column may be called anything.
CREATE OR REPLACE FUNCTION semsearch.create_attached_functions(collection_id integer, source regclass, attachment jsonb)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    ids text[] := ARRAY(SELECT jsonb_array_elements_text(attachment -> 'ids'));
    types text[] := ARRAY(SELECT jsonb_array_elements_text(attachment -> 'id_types'));
    columns text[] := semsearch.attachment_columns(attachment);
    full_name text := format('%I.%I', attachment ->> 'schema', attachment ->> 'table');
    owner name := (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'semsearch.tasks'::regclass);
    -- Written out for each space, for a planned statement costs 20 us less than EXECUTE: call this for a new space, too.
    removal text := (
        SELECT string_agg(format($part$
        BEGIN
            DELETE FROM semsearch.%I WHERE document_id = gone;
        EXCEPTION WHEN serialization_failure OR deadlock_detected OR lock_not_available OR undefined_table
            OR insufficient_privilege THEN
            NULL;  -- under REPEATABLE READ a worker may have rewritten them meanwhile: the task removes them
        END;
        $part$, 'chunks_' || s.id), '')
        FROM semsearch.spaces s WHERE s.collection_id = create_attached_functions.collection_id
    );
    name text;
    other name;
BEGIN
    EXECUTE format(
        'CREATE OR REPLACE FUNCTION semsearch_attached.enqueue_%s() RETURNS trigger '
        'LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS %L',
        collection_id,
        format($body$
DECLARE
    gone text;  -- the document that the row was
    present text;  -- the document that the row is
    changed boolean := true;
    remains boolean;
BEGIN
    -- Whoever attached the table may have lost these rights since, which the user must not fail for: a worker tells it.
    -- Constants of type regclass, found once a session, halve the 0.7 us that this takes; without the first right there
    -- are none.
    IF NOT has_schema_privilege('semsearch', 'USAGE') THEN
        RETURN NULL;
    ELSIF NOT has_table_privilege('semsearch.tasks'::regclass, 'INSERT')
        OR NOT has_sequence_privilege('semsearch.task_version'::regclass, 'USAGE') THEN
        RETURN NULL;
    END IF;
    BEGIN
        IF tg_op <> 'INSERT' THEN
            gone := %2$s;
        END IF;
        IF tg_op <> 'DELETE' THEN
            present := %3$s;
        END IF;
        IF tg_op = 'UPDATE' THEN
            changed := %4$s;
        END IF;
    EXCEPTION WHEN undefined_column OR undefined_function OR datatype_mismatch THEN
        -- A column has gone, or has changed its type since this session made its plans.
        BEGIN
            SELECT c.gone, c.present, c.changed INTO gone, present, changed
            FROM semsearch.read_change(%5$L, %6$L, to_jsonb(old), to_jsonb(new)) c;
            -- A column is away, the collection will be blocked: one task a document is enough until it is back.
            changed := coalesce(changed, current_setting('transaction_isolation') = 'serializable' OR NOT EXISTS (
                SELECT FROM semsearch.tasks t WHERE t.collection_id = %1$s AND t.document_id = present
            ));
        EXCEPTION WHEN others THEN
            RETURN NULL;  -- the user must not fail for what no JSON can hold
        END;
    END;
    IF gone IS NOT NULL AND gone IS DISTINCT FROM present THEN
        -- The task first: whatever a worker stores from here on is found again by whoever does this task.
        INSERT INTO semsearch.tasks (collection_id, document_id) VALUES (%1$s, gone);
        -- Serializable transactions would meet on the pages of the chunks: one would fail, at its commit.
        IF current_setting('transaction_isolation') <> 'serializable' THEN
            IF tg_op = 'UPDATE' THEN
                BEGIN
                    remains := semsearch_attached.remains_%1$s(gone);  -- rows may have swapped their keys
                EXCEPTION WHEN insufficient_privilege THEN
                    remains := true;  -- its schema may not be used any more: whoever does the task will see
                END;
            END IF;
            IF remains IS NOT TRUE THEN
            %7$s
            END IF;
        END IF;
    END IF;
    IF present IS NOT NULL AND (changed OR gone IS DISTINCT FROM present) THEN
        INSERT INTO semsearch.tasks (collection_id, document_id) VALUES (%1$s, present);
    END IF;
    RETURN NULL;
END
            $body$,
            collection_id,
            semsearch.key_expression('old', ids, types),
            semsearch.key_expression('new', ids, types),
            semsearch.changed_expression(source, columns),
            ids,
            columns,
            removal
        )
    );
    EXECUTE format(
        'CREATE OR REPLACE FUNCTION semsearch_attached.remains_%s(id text) RETURNS boolean '
        'LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS %L',
        collection_id,
        format($body$
BEGIN
    RETURN EXISTS (SELECT FROM %s d WHERE %s);
EXCEPTION WHEN others THEN
    RETURN true;  -- whoever does the task will see
END
            $body$,
            full_name, semsearch.same_key_expression('$1', ids, types)
        )
    );
    EXECUTE format(
        'CREATE OR REPLACE FUNCTION semsearch_attached.enqueue_all_%s() RETURNS trigger '
        'LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS %L',
        collection_id,
        format($body$
BEGIN
    PERFORM semsearch.remove_truncated(%1$s, %2$L);
    RETURN NULL;
EXCEPTION WHEN insufficient_privilege THEN
    BEGIN
        INSERT INTO semsearch.tasks (collection_id, document_id) VALUES (%1$s, '');  -- as remove_truncated would
    EXCEPTION WHEN insufficient_privilege THEN
        NULL;  -- as above
    END;
    RETURN NULL;
END
            $body$,
            collection_id,
            format('EXISTS (SELECT FROM %s d WHERE %s)', full_name,
                   semsearch.same_key_expression('c.document_id', ids, types))
        )
    );
    EXECUTE format(
        'CREATE OR REPLACE FUNCTION semsearch_attached.lock_%s(ids text[]) RETURNS SETOF text '
        'LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS %L',
        collection_id,
        format($body$
BEGIN
    RETURN QUERY
    SELECT %s FROM unnest($1) AS u (id) JOIN %s d ON %s ORDER BY u.id FOR KEY SHARE OF d SKIP LOCKED;
END
            $body$,
            semsearch.key_expression('d', ids, types), full_name, semsearch.same_key_expression('u.id', ids, types)
        )
    );
    FOREACH name IN ARRAY ARRAY['enqueue_%s()', 'remains_%s(text)', 'enqueue_all_%s()', 'lock_%s(text[])'] LOOP
        name := 'semsearch_attached.' || format(name, collection_id);
        -- Afterwards: REPLACE leaves a function to whoever owns it, who could change what runs here. Of a superuser's, too.
        other := (SELECT pg_get_userbyid(p.proowner) FROM pg_proc p WHERE p.oid = name::regprocedure);
        IF other <> current_user THEN
            RAISE EXCEPTION 'function % is of role %: attach as that role, or detach the collection or drop it first', name,
                quote_ident(other) USING ERRCODE = 'insufficient_privilege';
        END IF;
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', name);
        EXECUTE format('COMMENT ON FUNCTION %s IS %L', name, 'Made by semsearch.attach for ' || full_name || '.');
    END LOOP;
    EXECUTE format('GRANT EXECUTE ON FUNCTION semsearch_attached.lock_%s(text[]) TO %I', collection_id, owner);
    IF to_regrole('semsearch_worker') IS NOT NULL THEN
        EXECUTE format('GRANT EXECUTE ON FUNCTION semsearch_attached.lock_%s(text[]) TO semsearch_worker', collection_id);
    END IF;
    PERFORM semsearch.grant_source(collection_id, source, ids || columns);
END $function$;
COMMENT ON FUNCTION semsearch.create_attached_functions(integer, regclass, jsonb) IS
    'Writes the trigger functions of an attached table, and the one by which workers lock its rows.';
