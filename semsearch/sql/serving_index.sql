-- As store/indexes.py and store/index_expressions.py say it: CREATE INDEX and ORDER BY must say the very same.
CREATE OR REPLACE FUNCTION semsearch.serving_index(
    space_id integer, dimensions integer, distance text, vector_type text,
    OUT method text, OUT form text, OUT direct boolean, OUT quantization text
)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    pgvector text := (SELECT e.extnamespace::regnamespace FROM pg_extension e WHERE e.extname = 'vector');
    class text := CASE distance
        WHEN 'l2' THEN 'l2_ops' WHEN 'cosine' THEN 'cosine_ops' WHEN 'inner_product' THEN 'ip_ops' ELSE 'l1_ops'
    END;
    candidate record;
    part text;
BEGIN
    FOR candidate IN
        SELECT m.amname, o.opcname, t.typname, h.atttypmod AS length,
               regexp_replace(pg_get_expr(x.indexprs, x.indrelid), '("(?:[^"]|"")+"|\w+)\.|[\s()]', '', 'g') AS held
        FROM pg_index x
        JOIN pg_class i ON i.oid = x.indexrelid
        JOIN pg_am m ON m.oid = i.relam
        JOIN pg_opclass o ON o.oid = x.indclass[0]
        JOIN pg_attribute h ON h.attrelid = i.oid AND h.attnum = 1
        JOIN pg_type t ON t.oid = h.atttypid
        WHERE x.indrelid = to_regclass('semsearch.chunks_' || space_id) AND m.amname IN ('hnsw', 'ivfflat')
          AND x.indisvalid AND x.indisready AND x.indpred IS NULL
        ORDER BY i.relname
    LOOP
        direct := candidate.length = dimensions;
        part := CASE WHEN direct THEN 'embedding' ELSE format('subvectorembedding,1,%s', candidate.length) END;
        form := CASE WHEN direct THEN '%s' ELSE format('%s.subvector(%%s, 1, %s)', pgvector, candidate.length) END;
        method := candidate.amname;
        IF candidate.typname = 'bit' AND candidate.opcname = 'bit_hamming_ops' THEN
            quantization := 'binary';
            part := format('binary_quantize%s::bit%s', part, candidate.length);
            form := format('(%s.binary_quantize(%s))::bit(%s)', pgvector, form, candidate.length);
        ELSIF candidate.opcname <> format('%s_%s', candidate.typname, class) THEN
            CONTINUE;
        ELSIF direct AND candidate.typname = vector_type THEN
            quantization := 'none';
            part := NULL;
        ELSE
            quantization := CASE WHEN candidate.typname = vector_type THEN 'none' ELSE candidate.typname END;
            part := format('%s::%s%s', part, candidate.typname, candidate.length);
            form := format('(%s)::%s.%I(%s)', form, pgvector, candidate.typname, candidate.length);
        END IF;
        direct := direct AND quantization = 'none';
        IF candidate.held IS NOT DISTINCT FROM part THEN
            RETURN;
        END IF;
    END LOOP;
    method := NULL;
END $$;
COMMENT ON FUNCTION semsearch.serving_index(integer, integer, text, text) IS
    'The ANN index that searches of a space can walk; method is NULL without one. form: what it holds of an embedding, as '
    'a format for %s; direct: whether that is the embedding itself; quantization: none, halfvec or binary.';
