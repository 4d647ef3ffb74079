-- At the end of every upgrade. A role that may not make roles goes on without them: `semsearch roles` says what to do.
DO $$
BEGIN
    PERFORM semsearch.create_roles();
    PERFORM semsearch.grant_rights(NULL::text);
END $$;
