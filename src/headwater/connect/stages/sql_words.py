"""The words an expression may use: functions of DuckDB that are pure functions of one row, and types to cast to.

What is not here is refused, so a function that a later DuckDB brings has to be looked at before it can be used.
"""

from __future__ import annotations

from collections.abc import Mapping

FUNCTIONS_BY_SUBJECT: Mapping[str, str] = {
    "operators": "+ - * / // % ** ^ & | << >> ~ || ! ~~ !~~ ~~* !~~* ~~~ ^@ -> ->>",
    "numbers": "abs ceil ceiling floor round round_even trunc sign sqrt cbrt exp ln log log2 log10 pow power mod fmod "
    "fdiv greatest least isnan isinf isfinite sin cos tan asin acos atan atan2 cot degrees radians pi gcd lcm xor "
    "bit_count add subtract multiply divide",
    "texts": "concat concat_ws lower upper lcase ucase length len char_length character_length strlen octet_length "
    "bit_length trim ltrim rtrim left right substr substring split_part replace reverse position strpos instr "
    "starts_with ends_with prefix suffix contains like_escape not_like_escape ilike_escape not_ilike_escape "
    "regexp_matches regexp_full_match regexp_extract regexp_replace regexp_escape ascii ord unicode chr translate "
    "strip_accents nfc_normalize hex to_hex unhex from_hex base64 to_base64 from_base64 encode decode url_encode "
    "url_decode md5 sha1 sha256 levenshtein damerau_levenshtein hamming jaccard jaro_similarity "
    "jaro_winkler_similarity parse_filename parse_dirname parse_dirpath array_extract array_slice",
    "dates and times": "year month day hour minute second millisecond microsecond quarter week weekday dayofweek "
    "isodow dayofmonth dayofyear isoyear yearweek weekofyear decade century millennium era epoch epoch_ms epoch_us "
    "epoch_ns dayname monthname last_day date_part datepart date_trunc datetrunc date_diff datediff date_sub datesub "
    "date_add age make_date make_time make_timestamp make_timestamp_ms strftime strptime try_strptime time_bucket "
    "to_timestamp timezone to_years to_quarters to_months to_weeks to_days to_hours to_minutes to_seconds "
    "to_milliseconds to_microseconds",
    "JSON": "json_extract json_extract_string json_extract_path json_extract_path_text json_value json_exists "
    "json_type json_valid json_array_length json_contains json_object json_array to_json json_quote json_structure",
    "others": "nullif if constant_or_null typeof",
}
FUNCTIONS = frozenset(word for text in FUNCTIONS_BY_SUBJECT.values() for word in text.split())

# Functions that may make a text much longer than what they get.
GROWING = frozenset({"replace", "regexp_replace"})

# Functions that people will try, and that give another value at each run.
_CHANGING = (
    "now random current_date current_time current_timestamp localtime localtimestamp today uuid gen_random_uuid uuidv4 "
    "uuidv7 get_current_timestamp get_current_time current_localtime current_localtimestamp transaction_timestamp "
    "setseed nextval ago"
)
CHANGING = frozenset(_CHANGING.split())

_TYPES = (
    "bigint blob bool boolean bytea char date dec decimal double float float4 float8 hugeint int int1 int2 int4 int8 "
    "integer interval json long numeric real short signed smallint string text time timestamp timestamptz tinyint "
    "ubigint uhugeint uinteger usmallint utinyint uuid varchar"
)
CAST_TYPES = frozenset([*_TYPES.split(), "timestamp with time zone"])
