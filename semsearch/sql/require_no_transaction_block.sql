-- A procedure cannot see whether it may COMMIT, and one that fails would name this procedure and no way out. So a COMMIT
-- is tried in a block that catches errors, where none can succeed: where it could otherwise, PostgreSQL complains of that
-- block; else of what it complains of in every function. So it does inside BEGIN, between several statements sent at once,
-- and when a function calls.
CREATE OR REPLACE PROCEDURE semsearch.require_no_transaction_block()
LANGUAGE plpgsql
AS $$
DECLARE
    is_atomic pg_catalog.bool;
BEGIN
    BEGIN
        COMMIT;
    EXCEPTION WHEN invalid_transaction_termination THEN
        is_atomic := sqlerrm OPERATOR(pg_catalog.=) semsearch.atomic_message();
    END;
    IF is_atomic THEN
        RAISE EXCEPTION 'an embedding cannot be asked for inside a transaction block or a function' USING
            ERRCODE = 'active_sql_transaction',
            HINT = 'CALL it outside BEGIN, in a statement of its own; commit first. Clients that begin by themselves '
                   'have a switch: \set AUTOCOMMIT on in psql, autocommit=True in psycopg. Nothing was written.';
    END IF;
    COMMIT;
END $$;
COMMENT ON PROCEDURE semsearch.require_no_transaction_block() IS
    'Raises an error inside a transaction block, where nobody could see a request before it ends; else commits.';
