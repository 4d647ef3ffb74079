-- The plan is chosen as planner.py does, with less to go by: nothing is remembered from one search to the next. The whole
-- is complete whatever it chooses, because a walk that comes short is followed by comparing all.
CREATE OR REPLACE FUNCTION semsearch.nearest_chunks(
    collection text,
    asked vector,
    top_k integer,
    filter jsonpath,
    left_out text
) RETURNS SETOF semsearch.hit
LANGUAGE plpgsql STABLE ROWS 10 SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    space record := semsearch.find_space(collection);
    name text := 'chunks_' || space.space_id;
    pgvector text := (SELECT e.extnamespace::regnamespace FROM pg_extension e WHERE e.extname = 'vector');
    operator text := CASE space.distance
        WHEN 'l2' THEN '<->' WHEN 'cosine' THEN '<=>' WHEN 'inner_product' THEN '<#>' ELSE '<+>'
    END;
    query text := format(CASE space.vector_type WHEN 'vector' THEN '$1' ELSE '$1::%s.halfvec' END, pgvector);
    condition text := concat_ws(
        ' AND ', 'true',
        CASE
            -- Comparing a date with a time of a zone takes the session's, which @@ refuses to look at, row by row.
            WHEN filter::text ~ '\.(datetime|(date|time|timestamp)(_tz)?)\('
                THEN $test$jsonb_path_match_tz(c.metadata, $2, '{}', true)$test$
            WHEN filter IS NOT NULL THEN 'c.metadata @@ $2'  -- which an index of the metadata serves
        END,
        CASE WHEN left_out IS NOT NULL THEN 'c.document_id <> $3' END
    );
    -- Ordered anew by distance + 0: PostgreSQL 17 takes the order of a walk for granted, which is only nearly right.
    statement text := format(
        $statement$
        WITH found AS MATERIALIZED (
            SELECT c.document_id, c.ordinal, c.embedding OPERATOR(%1$s.%2$s) %3$s AS distance
            FROM semsearch.%4$I c WHERE %5$s %%s LIMIT $4
        ), best AS (
            SELECT * FROM found f ORDER BY f.distance + 0, f.document_id COLLATE "C", f.ordinal LIMIT $5
        )
        SELECT array_agg(b.document_id) AS ids, array_agg(b.ordinal) AS ordinals, array_agg(b.distance) AS distances,
               (SELECT count(*) FROM found) AS seen
        FROM best b
        $statement$, pgvector, operator, query, name, condition
    );
    all_of_them text := format(statement, '');
    filtered boolean := condition <> 'true' OR row_security_active(to_regclass('semsearch.' || name));
    known jsonb := coalesce(space.calibration, '{}');
    rows double precision := (
        SELECT greatest(t.reltuples, 1) FROM pg_class t WHERE t.oid = to_regclass('semsearch.' || name)
    );
    enough integer;  -- candidates of the first batch
    candidates integer := top_k + 1;
    most bigint;  -- matches that are better compared all
    share double precision;
    budget double precision := 20000;
    index record;
    settings text[];
    before text[];
    found record;
    is_complete boolean := false;
BEGIN
    index := semsearch.serving_index(space.space_id, space.dimensions, space.distance, space.vector_type);
    IF index.method IS NULL THEN
        EXECUTE all_of_them INTO found USING asked, filter, left_out, NULL::bigint, top_k;
        is_complete := true;
    ELSE
        enough := least(1000, greatest(2 * candidates, coalesce(
            (known ->> 'ef_search')::integer,
            greatest(75, 40, round(40 + 35 * log(greatest(rows, 1) / 10000)))::integer
        )));
        IF filtered THEN
            candidates := least(6 * candidates, greatest(1000, 2 * candidates));
            most := ceil(3 * sqrt(12 * candidates * rows));
            -- Of all rows there are: of those that row-level security hides a sample counts none.
            EXECUTE format(
                'SELECT count(*) FROM semsearch.%I c TABLESAMPLE SYSTEM ($1) REPEATABLE (0) WHERE %s', name, condition
            ) INTO share USING least(100, 100000 / rows), filter, left_out;
            share := least(1, share / greatest(1, least(rows, 1000)));
            IF share * rows <= most THEN
                EXECUTE all_of_them INTO found USING asked, filter, left_out, most + 1, top_k;
                is_complete := found.seen <= most;
            END IF;
            budget := least(262144, greatest(600, 3 * greatest(enough, candidates / greatest(share, 1e-9))));
        END IF;
        IF NOT is_complete THEN
            IF NOT index.direct THEN
                candidates := greatest(candidates, top_k + 21, ceil(candidates * coalesce(
                    (known ->> 'oversampling')::double precision,
                    CASE index.quantization WHEN 'binary' THEN 10 WHEN 'halfvec' THEN 2 ELSE 4 END
                ))::integer);
            END IF;
            settings := ARRAY[
                ['hnsw.iterative_scan', 'relaxed_order'], ['hnsw.scan_mem_multiplier', '16'],
                ['hnsw.max_scan_tuples', round(budget)::bigint::text],
                ['hnsw.ef_search', least(1000, greatest(enough * CASE WHEN filtered THEN 2 ELSE 1 END, candidates))::text],
                ['ivfflat.iterative_scan', 'relaxed_order'],
                ['ivfflat.probes', coalesce(known ->> 'probes', greatest(1, floor(sqrt(rows / 1000)))::integer::text)]
            ];
            -- Put back afterwards: a setting for the transaction would stay for what else is done in it.
            before := ARRAY(SELECT current_setting(settings[i][1]) FROM generate_subscripts(settings, 1) AS i ORDER BY i);
            PERFORM set_config(settings[i][1], settings[i][2], true) FROM generate_subscripts(settings, 1) AS i;
            EXECUTE format(statement, format(
                'ORDER BY %s OPERATOR(%s.%s) %s', format(index.form, 'c.embedding'), pgvector,
                CASE index.quantization WHEN 'binary' THEN '<~>' ELSE operator END, format(index.form, query)
            )) INTO found USING asked, filter, left_out, candidates, top_k;
            PERFORM set_config(settings[i][1], before[i], true) FROM generate_subscripts(settings, 1) AS i;
            IF found.seen < candidates THEN
                EXECUTE all_of_them INTO found USING asked, filter, left_out, NULL::bigint, top_k;
            END IF;
        END IF;
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT f.document_id, f.ordinal, f.distance, c.text, c.metadata, c.heading '
        'FROM unnest($1, $2, $3) AS f (document_id, ordinal, distance) JOIN semsearch.%I c USING (document_id, ordinal) '
        'ORDER BY f.distance, f.document_id COLLATE "C", f.ordinal', name
    ) USING found.ids, found.ordinals, found.distances;
EXCEPTION WHEN undefined_table THEN
    RAISE EXCEPTION 'collection % was dropped meanwhile', quote_literal(collection) USING ERRCODE = 'no_data_found';
END $function$;
COMMENT ON FUNCTION semsearch.nearest_chunks(text, vector, integer, jsonpath, text) IS
    'The chunks of a collection that are nearest to an embedding: top_k of them, or all that match filter and are not of '
    'the document left_out. semsearch.search and semsearch.similar are made of it.';
