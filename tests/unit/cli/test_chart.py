from textwrap import dedent

from headwater.cli.chart import bar_chart, table


def screen(text: str) -> str:
    return dedent(text).strip()


def test_labels_numbers_and_bars_are_aligned():
    rows = [("United Air Lines Inc.", 1_234_567.0), ("JetBlue Airways", 987_654.0), ("Mesa", 12_345.0), ("None", 0)]
    assert bar_chart(rows, width=60, title="Minutes lost", unit="min") == screen("""
    Minutes lost
    United Air Lines Inc.  1,234,567 min  ██████████████████████
    JetBlue Airways          987,654 min  █████████████████▋
    Mesa                      12,345 min  ▎
    None                           0 min
    """)


def test_eighths_show_small_differences():
    rows = [("a", 1.0), ("b", 0.99), ("c", 0.98), ("d", 0.5), ("e", 0.001)]
    assert bar_chart(rows, width=20) == screen("""
    a  1.0  ████████████
    b  1.0  ███████████▉
    c  1.0  ███████████▊
    d  0.5  ██████
    e  0.0  ▏
    """)


def test_numbers_below_one_get_two_decimals_and_percent_no_blank():
    assert bar_chart([("clear", 0.25), ("bad", 0.5)], width=24, unit="%") == screen("""
    clear  0.25%  █████
    bad    0.50%  ██████████
    """)


def test_negative_numbers_grow_to_the_left_of_zero():
    rows = [("early", -10.0), ("late", 20.0), ("on time", 0.0), ("a bit early", -0.1)]
    assert bar_chart(rows, width=42, title="Delay", unit="min") == screen("""
    Delay
    early        -10.0 min  ▐█████│
    late          20.0 min        │███████████
    on time        0.0 min        │
    a bit early   -0.1 min       ▐│
    """)


def test_only_negative_numbers_have_their_zero_at_the_right():
    assert bar_chart([("a", -4), ("b", -2)], width=20) == screen("""
    a  -4  ████████████│
    b  -2        ██████│
    """)


def test_ascii_draws_with_characters_every_terminal_has():
    rows = [("a long label that is cut", 4.0), ("b", -1.5), ("c", float("nan"))]
    assert bar_chart(rows, width=40, ascii=True) == screen("""
    a long label th~   4.0      |###########
    b                 -1.5  ####|
    c                    -      |
    """)


def test_wide_characters_take_two_columns():
    assert bar_chart([("東京", 2), ("Oslo", 1)], width=19) == screen("""
    東京  2  ██████████
    Oslo  1  █████
    """)


def test_a_narrow_terminal_still_gets_bars():
    assert bar_chart([("carrier name", 1000.0)], width=10, unit="minutes") == "carrier…  1,000 minutes  ████████"


def test_no_rows_are_said():
    assert bar_chart([], title="Delay") == "Delay\n(no rows)"


def test_a_table_aligns_numbers_to_the_right():
    rows = [("United Air Lines Inc.", 58665, 3.55, None), ("SkyWest", 32, 11.93, "few flights")]
    assert table(["carrier", "flights", "delay", "note"], rows) == screen("""
    carrier                flights  delay  note
    ─────────────────────  ───────  ─────  ───────────
    United Air Lines Inc.   58,665    3.5
    SkyWest                     32   11.9  few flights
    """)


def test_the_caller_may_align_a_table():
    assert table(["n", "word"], [(1, "a"), (22, "bcdef")], "lr", ascii=True) == screen("""
    n    word
    --  -----
    1       a
    22  bcdef
    """)
