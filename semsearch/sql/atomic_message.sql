-- In the language of the server's messages, which are all that tells the two apart: both have the same SQLSTATE.
CREATE OR REPLACE FUNCTION semsearch.atomic_message() RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    COMMIT;
EXCEPTION WHEN invalid_transaction_termination THEN
    RETURN sqlerrm;
END $$;
COMMENT ON FUNCTION semsearch.atomic_message() IS
    'What PostgreSQL says to a COMMIT where none can be, as in every function: require_no_transaction_block compares by it.';
