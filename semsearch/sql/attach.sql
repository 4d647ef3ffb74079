CREATE OR REPLACE FUNCTION semsearch.attach(
    collection text,
    source regclass,
    text text[],
    id text[] DEFAULT NULL,
    title text DEFAULT NULL,
    metadata text[] DEFAULT '{}'
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target semsearch.collections;
    made jsonb := semsearch.check_source(source, text, id, title, metadata);
    problem text;
BEGIN
    SELECT * INTO target FROM semsearch.collections c WHERE c.name = attach.collection FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'collection % does not exist', quote_nullable(collection) USING ERRCODE = 'no_data_found';
    END IF;
    problem := semsearch.collection_problem(target, made);
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%', problem USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    problem := semsearch.rights_problem(target.id);
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%', problem USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM semsearch.lock_table(source, 'SHARE ROW EXCLUSIVE');
    PERFORM semsearch.create_attached_functions(target.id, source, made);
    PERFORM semsearch.create_attached_triggers(target.id, source);
    UPDATE semsearch.collections c
    SET attachment = made, source = 'table', state = 'active', reason = NULL, blocked_at = NULL
    WHERE c.id = target.id;
    INSERT INTO semsearch.backfills AS b (collection_id, position)
    VALUES (target.id, CASE WHEN target.attachment IS NOT NULL THEN jsonb_build_object('orphans', true) END)
    ON CONFLICT (collection_id) DO UPDATE
    SET position = excluded.position, enqueued = 0, started_at = excluded.started_at, finished_at = NULL;
END $$;
COMMENT ON FUNCTION semsearch.attach(text, regclass, text[], text[], text, text[]) IS
    'Make the rows of a table the documents of an empty collection, now and from now on. collection: its name; source: the '
    'table; text: the columns to embed, joined by a blank line; id: the columns of a unique key, by default the primary '
    'key; title: a column that is embedded along with every chunk; metadata: columns to filter by. Workers embed the rows. '
    'Commit it soon: until then nobody else can write to the table. '
    'Example: SELECT semsearch.attach(''handbook'', ''articles'', text => ''{title,body}'', metadata => ''{lang}'')';
