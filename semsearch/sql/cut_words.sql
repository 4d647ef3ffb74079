-- By ranges of characters rather than by \W, which knows ASCII only in a database whose locale is C.
CREATE OR REPLACE FUNCTION semsearch.cut_words(text text, lowercase boolean DEFAULT false) RETURNS text[]
LANGUAGE plpgsql STABLE PARALLEL SAFE STRICT SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- ASCII but for digits, letters and _; the signs of Latin-1; punctuation of Greek, Armenian, Hebrew, Arabic, Indic;
    -- general punctuation, currencies, arrows, mathematics and symbols; that of CJK, full-width too; emoji.
    separators CONSTANT text := '[\u0001-\u002f\u003a-\u0040\u005b-\u005e\u0060\u007b-\u00a9\u00ab-\u00b4\u00b6-\u00b9'
        '\u00bb-\u00bf\u00d7\u00f7\u037e\u0387\u055a-\u055f\u0589\u05be\u05c0\u05c3\u060c\u061b\u061f\u066a-\u066d\u06d4'
        '\u0964\u0965\u2000-\u200b\u200e-\u206f\u20a0-\u20cf\u2190-\u2bff\u2e00-\u2e7f\u3000-\u3004\u3008-\u3020\u3030'
        '\u30fb\ufe10-\ufe1f\ufe30-\ufe6f\ufeff\uff01-\uff0f\uff1a-\uff20\uff3b-\uff3e\uff40\uff5b-\uff65'
        '\U0001f000-\U0001faff]+';
BEGIN
    RETURN array_remove(regexp_split_to_array(CASE WHEN lowercase THEN lower(text) ELSE text END, separators), '');
END $$;
COMMENT ON FUNCTION semsearch.cut_words(text, boolean) IS
    'The words of a text, as embed_words looks them up: runs of letters, digits and underscores of any script, in lower '
    'case if wanted (as the database''s locale knows it). Everything else separates: don''t is don and t. '
    'Example: SELECT semsearch.cut_words(''A naïve plan, v2'', true)';
