-- Whatever a role may is written here, and nowhere else; names that are not there (yet) are passed over.
CREATE OR REPLACE FUNCTION semsearch.rights() RETURNS TABLE (part text, role text, privilege text, object text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT 'schema', r.role, r.privilege, 'SCHEMA ' || r.schema
    FROM (VALUES
        ('reader', 'USAGE', 'semsearch'), ('reader', 'USAGE', 'collections'), ('worker', 'USAGE', 'semsearch'),
        -- What attach makes for a table has a schema of its own. In ours nobody else may make anything: a function with a
        -- name of ours and arguments that fit better would be called in its place, by the owner, too.
        ('admin', 'USAGE, CREATE', 'semsearch_attached'), ('worker', 'USAGE', 'semsearch_attached')
    ) AS r (role, privilege, schema);
    RETURN QUERY VALUES ('schema', 'reader', 'USAGE', 'TYPE semsearch.hit');

    RETURN QUERY
    SELECT 'schema', r.role, r.privilege, format('TABLE semsearch.%I', c.relname)
    FROM (VALUES
        -- What a search and the view of the status read: nobody's texts, nor what others have asked.
        ('reader', 'SELECT', '{alembic_version, collections, spaces, recalls, word_models, status, collection_spaces}'),
        ('worker', 'SELECT', '{alembic_version, collections, spaces, documents, tasks, leases, failures, backfills}'),
        ('worker', 'SELECT', '{workers, usage, query_embeddings, document_embeddings, embed_requests, status, live_workers}'),
        ('worker', 'SELECT', '{word_models}'),  -- which rights() reads
        -- To lock a row takes the right to update something in it.
        ('worker', 'UPDATE (updated_at)', '{documents}'),
        ('worker', 'UPDATE (state, reason, blocked_at)', '{collections}'),
        ('worker', 'INSERT, UPDATE, DELETE', '{tasks, leases, failures, backfills, workers, usage}'),
        ('worker', 'INSERT, UPDATE, DELETE', '{query_embeddings, document_embeddings, embed_requests}'),
        ('admin', 'SELECT', '{tasks, leases, failures, backfills, workers, usage, live_workers, failed_documents}'),
        ('admin', 'SELECT (collection_id)', '{documents}'),  -- whether there are any, before a table is attached
        ('admin', 'INSERT, UPDATE, DELETE', '{api_keys, backfills}'),
        ('admin', 'SELECT', '{api_keys, sampled_queries}'),
        ('admin', 'INSERT, DELETE', '{tasks}'),
        ('admin', 'DELETE', '{failures, leases}'),
        ('admin', 'UPDATE (attachment, source, state, reason, blocked_at, cached, token_budget)', '{collections}'),
        ('admin', 'UPDATE (index_settings, calibration)', '{spaces}')
    ) AS r (role, privilege, names)
    JOIN pg_class c ON c.relnamespace = 'semsearch'::regnamespace AND c.relname = ANY (r.names::name[]);

    RETURN QUERY
    SELECT 'schema', r.role, 'USAGE', format('SEQUENCE semsearch.%I', r.name)
    FROM (VALUES
        ('worker', 'task_version'), ('worker', 'lease_token'), ('worker', 'worker_number'), ('admin', 'task_version')
    ) AS r (role, name);

    RETURN QUERY
    SELECT 'schema', r.role, 'EXECUTE',
           format('%s %s', CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, p.oid::regprocedure)
    FROM (VALUES
        -- Columns and views compute dates by the first two, the view of the status counts by the others.
        ('reader', '{to_date, to_timestamp, attached_table, table_rows, stored_documents, collection_counts}'),
        ('reader', '{missing_roles, rights}'),
        ('worker', '{missing_roles, rights}'),
        ('reader', '{find_word_model, cut_words, embed_words, word_vector, analogy, nearest_words}'),
        ('reader', '{search, similar, nearest_chunks, serving_index, check_asked, find_space, query_embedding}'),
        ('reader', '{embed, keep_embedding, request_embedding, embedding_state, withdraw_request}'),
        ('reader', '{require_no_transaction_block, atomic_message, was_granted_tenant}'),
        ('writer', '{put, delete, retry}'),
        ('worker', '{to_date, to_timestamp, attached_table, table_rows, stored_documents, collection_counts}'),
        ('worker', '{attachment_problem, attachment_columns, relation_problem, columns_problem, key_type, lock_documents}'),
        ('worker', '{missing_rights}'),
        -- The triggers of an attached table run as whoever attached it.
        ('admin', '{attach, detach, check_source, primary_key, key_type, relation_problem, columns_problem, citus_problem}'),
        ('admin', '{collection_problem, rights_problem, missing_rights, attachment_problem, attachment_columns, lock_table}'),
        ('admin', '{create_attached_functions, create_attached_triggers, key_expression, same_key_expression}'),
        ('admin', '{changed_expression, read_change, remove_truncated, grant_source, purge_failures}')
    ) AS r (role, names)
    JOIN pg_proc p ON p.pronamespace = 'semsearch'::regnamespace AND p.proname = ANY (r.names::name[]);

    RETURN QUERY
    SELECT 'collection ' || s.collection_id, r.role, r.privilege, format('TABLE semsearch.%I', c.relname)
    FROM (VALUES
        ('reader', 'SELECT'), ('worker', 'SELECT, INSERT, UPDATE, DELETE'), ('admin', 'DELETE, TRUNCATE')
    ) AS r (role, privilege)
    CROSS JOIN semsearch.spaces s
    JOIN pg_class c ON c.relnamespace = 'semsearch'::regnamespace AND c.relname = 'chunks_' || s.id;

    RETURN QUERY
    SELECT 'collection ' || k.id, 'reader', 'SELECT', format('TABLE collections.%I', c.relname)
    FROM semsearch.collections k
    JOIN pg_class c ON c.relnamespace = 'collections'::regnamespace AND c.relname = k.name;

    RETURN QUERY
    SELECT 'collection ' || k.id, 'worker', 'EXECUTE', format('FUNCTION %s', p.oid::regprocedure)
    FROM semsearch.collections k
    JOIN pg_proc p ON p.pronamespace = 'semsearch_attached'::regnamespace AND p.proname = 'lock_' || k.id;

    RETURN QUERY
    SELECT 'words ' || m.id, 'reader', 'SELECT', format('TABLE semsearch.%I', c.relname)
    FROM semsearch.word_models m
    JOIN pg_class c ON c.relnamespace = 'semsearch'::regnamespace AND c.relname = 'words_' || m.id;
END $$;
COMMENT ON FUNCTION semsearch.rights() IS
    'Every right of the roles semsearch_reader, _writer, _worker and _admin (role is the name behind semsearch_) as it is '
    'granted, beside what members inherit. Example: SELECT * FROM semsearch.rights() WHERE role = ''reader''';
