"""Expressions that want more than the values of their row."""

from __future__ import annotations

import pytest

from headwater.connect.stages import python, sql

SQL = """
1) FROM (SELECT 2
(SELECT 1)
n IN (SELECT 1)
EXISTS (SELECT 1)
(WITH a AS (SELECT 1) SELECT * FROM a)
1; SELECT 2
1, 2
*
columns('.*')
sum(n)
count(*)
row_number() OVER ()
read_csv('/etc/passwd')
read_text('/etc/passwd')
glob('/*')
getenv('HOME')
current_setting('memory_limit')
getvariable('x')
query('SELECT 1')
random()
now()
current_date
uuid()
nextval('s')
repeat('x', 1000000000)
lpad('x', 1000000000, 'y')
format('{:>1000000000}', 1)
printf('%1000000000d', 1)
replace(replace(replace(email, 'a', 'aaaaaaaa'), 'a', 'aaaaaaaa'), 'a', 'aaaaaaaa')
replace(email, 'a', email)
range(1000000000)
list_transform([1], x -> x)
unnest([1])
$1
?
ATTACH 'x'
COPY x TO '/tmp/x'
PRAGMA database_list
SET memory_limit = '1TB'
INSTALL httpfs
main.lower(email)
system.main.lower(email)
email::mytype
sleep_ms(1000000)
write_log('x')
error('x')
"""
PYTHON = """
__import__('os').system('id')
open('/etc/passwd')
().__class__
''.__class__.__mro__
record.__class__
(lambda: 1)()
[x for x in y for z in x]
eval('1')
exec('1')
getattr(name, 'x')
globals()
import os
a = 1
'{0.__class__}'.format(name)
json.codecs
json.__builtins__
datetime.sys
datetime.datetime.now()
datetime.datetime.today()
rand()
randint(6)
fake.name()
f'{name!r}'
f'{name:>1000000000}'
str(*name)
(x := 1)
await x
yield
"""
SLOW = """
'x' * 1000000000
9 ** 9 ** 9
'x'.ljust(1000000000)
'x'.zfill(1000000000)
('a' * 1000).replace('a', 'b' * 1000000)
[0] * 1000000000
('x' * 999999) + ('x' * 999999)
','.join(['x' * 999999, 'x' * 999999])
'%1000000000d' % 1
"""


def cases(text):
    return [line for line in text.splitlines() if line]


@pytest.mark.parametrize("text", cases(SQL))
def test_sql_that_is_refused(text):
    with pytest.raises(sql.RefusedError):
        sql.parse(text)


@pytest.mark.parametrize("text", cases(PYTHON))
def test_python_that_is_refused(text):
    with pytest.raises(python.RefusedPythonError):
        python.compiled(python.parse(text))


@pytest.mark.parametrize("text", cases(SLOW))
def test_python_that_would_make_something_huge_fails_at_once(text):
    with pytest.raises(python.EvaluationError):
        python.compiled(python.parse(text))({})


def test_deep_nesting_is_refused():
    with pytest.raises(sql.RefusedError):
        sql.parse("(" * 2000 + "1" + ")" * 2000 + "+1" * 2000)
    with pytest.raises(python.RefusedPythonError):
        python.compiled(python.parse("-" * 200 + "1"))


def test_the_database_reaches_nothing_even_unchecked():
    cursor = sql._database()
    for statement in (
        "SELECT * FROM read_text('/etc/passwd')",
        "ATTACH '/tmp/x.db'",
        "COPY (SELECT 1) TO '/tmp/x.csv'",
        "SET memory_limit = '1TB'",
        "INSTALL httpfs",
        "LOAD httpfs",
    ):
        with pytest.raises(Exception, match=r"(?i)permission|configuration|lock|cannot|disabled"):
            cursor.execute(statement)
