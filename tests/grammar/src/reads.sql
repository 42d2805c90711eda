-- FROM
select * from rows from (generate_series(1, 2), generate_series(1, 3))
select * from rows from (generate_series(1, 2), unnest(array[1, 2])) with ordinality as r (a, b, n)
select * from rows from (json_to_record('{}') as (a int, b numeric(10, 2)), generate_series(1, 2)) as x (a, b, c), t
select * from a, rows from (f(a.x) as (q text), s.g(1)) r, b
select * from lateral rows from (generate_series(1, 2)) x
select count(*) from t*
select * from only t
select * from only (t), only s.u
select * from t * as x, u* y
select * from s.t tablesample bernoulli (10)
select * from t x tablesample system (5.5) repeatable (1)
select * from t tablesample my_sample (f(1)) repeatable (g(2)), u
select * from t tablesample s.other (1)
select * from a, lateral (select * from b where b.x = a.x) l, lateral generate_series(1, a.n) g
select * from a cross join lateral (values (a.x), (a.y)) v (z)
select * from (a join b on true)
select * from (a join b using (x) as j) join c on c.x = j.x
select * from ((a cross join b) cross join (c natural full outer join d))
select * from a left join (b inner join c on b.x = c.x and b.y in (select y from d)) on a.x = b.x, e
select * from a join b join c on true on false, d
select * from a natural left join b natural join c
select * from (select 1) x, (values (1), (2)) y (a), (table t) z, (with w as (select 2) select * from w) v
select * from ((select 1 from a) union (select 2 from b)) x join c on true
select * from ((select 1 from a) order by 1) x, b
select * from (((select 1 from a)) limit 1) x, b
select * from f(1), s.g(2) as x, h() y (a, b), k() as (a int, b s.my_type(3)), l() z (a numeric(10, 2)), m
select * from generate_series(1, 2) with ordinality
select * from generate_series(1, 2) with ordinality as g (n, o), t
select * from current_date
select * from current_date, current_user u, t
select * from current_timestamp(3) x (y), localtime, t
select * from xmltable('/a/b' passing ('<a/>'::xml) columns c int path 'c', d numeric(10, 2) path 'd' default 1 not null, o for ordinality) x, t
select * from xmltable(xmlnamespaces('http://x' as x, default 'http://y'), '/x:a' passing by ref (select d from docs) columns e text path 'e' default f(1)) y
select * from t, xmltable('/a' passing t.x by value columns b text, c xml path '.')
select * from json_table(jsonb '[]', '$[*]' columns (id for ordinality, a int path '$.a', b varchar(10) path '$.b' default 'x' on empty error on error)) j, t
select * from json_table((select d from docs), '$' as root passing f(1) as x, 2 as y columns (a jsonb format json path '$.a' with unconditional array wrapper keep quotes, b bool exists path '$.b' false on error, nested path '$.c[*]' as c columns (d int path '$.d' default g(1) on error, nested '$.e' columns (f text))) error on error) as jt (a, b, c), u
select * from t values
select * from t values (a), u
select * from t as values (a), u
select * from db.s.t
select * from "A b"."C""d", U&"d\0061ta"
select from t
select
select all * from t
select distinct a from t
select distinct on (a, f(b)) a from t
-- keywords as labels, columns and tables
select 1 as from, 2 as select, 3 as where from t
select 1 as as from t
select t.from, t.select, t.where, t.table from t, u
select t.distinct from t
select a distinct from t
select a is distinct from b from t
select a is not distinct from b, c from t
select t.is distinct from t
select a as is, b as distinct from t
select a table, b from t
select 1 select, f(2) from t
select 1 values from t
select 1 join, 2 on_, 3 is from t, u
select rows from rows
select rows.from from rows, ordinality, only_x
select of, recursive, materialized, ties, ordinality from recursive
with recursive as (select 1), materialized as (select 2) select * from recursive, materialized, t
with recursive recursive as (select 1 union all select * from recursive) select * from recursive
select value, path, columns, nested, passing, document, content, escape, zone from columns
select lateral_, x.lateral from t x
select user, session_user, current_role, current_catalog, current_schema from t
select operator from operator
select cube(1), rollup(2), sets(3)
select overlay from t
select a.left, b.full from a left join b on a.left = b.full, c
-- SELECT's other clauses
select a, count(*) from t group by grouping sets ((a), (), rollup (a, b), cube (a, (b, c)), grouping sets ((a), (b)))
select a, grouping(a, b) from t group by rollup (a, b)
select a from t group by distinct rollup (a, b), rollup (a, c)
select a from t group by all a
select a from t group by (), (a), (a, b), f(a)
select a from t group by rollup ((select x from u)), cube (f(a))
select a from t group by a having count(*) > 1 and exists (select 1 from u)
select sum(a) over w, rank() over (w order by b), lag(a) over (partition by f(a) order by b desc nulls last) from t window w as (partition by c), v as (w rows between 1 preceding and unbounded following exclude current row)
select sum(a) over (order by b range between interval '1 day' preceding and interval '1 day' following exclude ties), sum(a) over (order by b groups between current row and 2 following exclude group), sum(a) over (rows unbounded preceding exclude no others) from t
select percentile_cont(0.5) within group (order by a), count(*) filter (where a > 1), mode() within group (order by b desc) filter (where f(c)) over () from t
select a from t order by a using <, b using operator(pg_catalog.>) nulls first, f(c)
select a from t limit 1 offset 2
select a from t limit all
select a from t limit null offset (select 1 from u) rows
select a from t offset 5 rows fetch next 10 rows only
select a from t order by a fetch first row with ties
select a from t order by a offset 1 row fetch first (1 + 2) rows with ties
select a from t fetch first f(1) rows only
select a from t fetch next $1 rows only
values (1, 'a'), (2, f(3)), ((select x from t), default_)
values (1) order by 1 limit 1
table t
table only t
table s.t order by 1 limit 2
table t * 
(table t)
table a union all table b except distinct table c intersect (table d)
select 1 union select 2 from a union all values (3) except (select 4 from b intersect all table c) order by 1
((select 1)) union ((select 2 from t))
(select 1 from a limit 1) union all (select 2 from b order by 1) limit 5
(with x as (select * from a) select * from x) union (with x as (select 1) select * from x, b)
-- WITH
with a as (select * from a) select * from a
with a as (select 1), b as (select * from a, b) select * from b, s.a, c
with a (x, y) as materialized (select 1, 2 from t), b as not materialized (table a) table b
with recursive r (n) as (select 1 union all select n + 1 from r, base where n < 5) select * from r
with recursive r (n, p) as (select 1, f(2) union all select n + 1, p from r) search depth first by n, p set o cycle n, p set c to true default false using q select * from r, t
with recursive r as (select 1 as a, 2 as b union all select a, b from r) search breadth first by a, b set s, x as (select * from t) select * from r, x
with recursive r as (select 1 as a union all select a from r) cycle a set c using p, x (b) as (select * from t) select * from r, x
with recursive a as (select * from b), b as (select 1) select * from a
with x as (values (1)), y as (table x) (select * from y union select * from t)
with x as (select 1) values ((select * from x), (select * from u))
with "X" as (select 1) select * from x, "X"
with x as (with y as (select * from t) select * from y) select * from x, y
select * from (with c as (select 1) select * from c) x, c
select (with c as (select * from t) select count(*) from c), (select 1 from c)
with w as (select 1), v as (select * from (with w as (select * from w, u) select * from w) x) select * from v, w
-- XML
select xmlelement(name foo)
select xmlelement(name "Foo bar", xmlattributes(a, b as c, f(d) as "E"), 'content', xmlelement(name x), t.y) from t
select xmlforest(a, b as c, f(d) as e) from t
select xmlagg(x order by y) from t
select xmlconcat('<a/>', (select x from t), xmlcomment('x'))
select xmlparse(document '<a/>'), xmlparse(content 'x' strip whitespace), xmlparse(document (select d from docs) preserve whitespace)
select xmlpi(name php, 'echo'), xmlpi(name x)
select xmlroot(xmlparse(document '<a/>'), version '1.0', standalone yes), xmlroot('<a/>', version no value, standalone no value)
select xmlserialize(content x as text), xmlserialize(document x as varchar(100) indent), xmlserialize(content (select x from u) as text no indent) from t
select xmlexists('//a' passing '<a/>'), xmlexists('//a' passing by value x by ref) from t
select x is document, x is not document, xml_is_well_formed('x'), xpath('/a', x) from t
-- JSON
select json_object('a' : 1, 'b' value f(2), key 'c' value 3 absent on null with unique keys returning jsonb format json encoding utf8)
select json_object('a', 'b'), json_object('{a,b}'), json_object(returning text)
select json_array(1, f(2), 'x' format json null on null returning jsonb), json_array(), json_array(select x from t order by 1 format json returning jsonb), json_array(with w as (select 1) select * from w, u)
select json_objectagg(a : b absent on null with unique returning jsonb) filter (where a is not null) over (partition by c), json_arrayagg(a order by b null on null returning text) from t
select json('{}'), json('{}' with unique keys), json_scalar(1), json_serialize('{}' returning bytea format json)
select json_value(j, '$.a' passing f(1) as x, 2 as y returning numeric(10, 2) default 1 on empty null on error), json_query(j, '$.b' with conditional wrapper omit quotes on scalar string empty array on empty error on error), json_exists(j, '$.c' passing 1 as z unknown on error) from t
select '{}' is json, x is not json object with unique keys, x is json array, x is json scalar, x is json value without unique from t
-- expressions
select collation for ('a')
select collation for (t.a || f(1)) from t
select * from t join u on collation for (t.a) = 'x', v
select t.*::text from pg_class t limit 1
select (t.*)::text, (t).*, (t).a, (f(1)).*, (f(1)).a, t.*, s.t.*, s.t.a, (t.a[1]).b[2].c, ((t).a).b from t, s.t
select row(t.*), row(t.*, 1) = row(u.*), t is null, t.* is not distinct from u.* from t, u
select operator(pg_catalog.-) 1
select operator(s.@) f(1), 1 operator(pg_catalog.+) f(2), a operator(s.||) b, @ -5, !! x, ~ 3, |/ 4, ||/ 5, - - 6, + 7 from t
select 1 operator(+) 2, a = any (array[1, 2]), a operator(pg_catalog.=) any (select x from u), a <> all ('{1,2}'::int[]), a like any (array['x']), a not ilike all (select f(1)) from t
select (1, 2) = (3, 4), row(1, 2) < row(3, 4), (a, b) in ((1, 2), (3, 4)), (a, b) in (select c, d from u), row() is null, (a, b) is distinct from (c, d), row(1, f(2)) overlaps (3, 4) from t
select (a, b) overlaps (c, d), (a, interval '1 day') overlaps (f(c), d), row(1, 2) >= all (select 1, 2 from u) from t
select a at time zone 'UTC', a at time zone (select z from zones), a at local, a at time zone interval '1' hour, f(a) at time zone g(b) from t
select 'x' is normalized, 'x' is not nfkc normalized, normalize('x', nfd), normalize(f('x')) from t
select a between 1 and 2, a not between symmetric f(1) and g(2), a between asymmetric (1) and (2) and b from t
select a like 'x' escape '\', a not like f('x') escape g('y'), a ilike 'x', a similar to 'x' escape '#', a not similar to h('x'), a ~ 'x', a ~* 'y', a !~~ 'z' from t
select a isnull, b notnull, a is true, b is not unknown from t
select case a when 1 then f(2) when g(3) then 4 else (select 5 from u) end, case when a then b end as c from t
select coalesce(a, f(b), (select 1 from u)), nullif(a, b), greatest(a, f(1)), least(a, b) from t
select cast(a as numeric(10, 2)), cast(f(a) as s.my_type(3)), a::varchar(10), a::character varying (10), a::s.my_type(1, 2)[], a::int[3][], a::setof_, cast(a as double precision), a::timestamp(3) with time zone, a::interval day to second(3), a::interval second(3), a::bit varying(5), a::"char", a::national character varying(3), f(b::text(3)) from t
select numeric(10, 2) '1.5', varchar(10) 'x', date '2020-01-01', timestamp(3) with time zone '2020-01-01', interval(3) '1 day', interval '1' year to month, s.my_type 'x', float(3) '1', bit(3) '101', char(2) 'ab', double precision '1'
select extract(year from a), extract('day' from f(a)), extract(epoch from (select x from u)), extract(timezone_hour from now()) from t
select substring(a from 2 for 3), substring(a for 3), substring(a from f(2)), substring(a similar 'x' escape '#'), substring(a, 1, 2), substring(f(a) from 1) from t
select overlay(a placing f('x') from 3 for 2), overlay(a placing 'b' from 1), position('a' in f(b)), position((select 'x' from u) in a), trim(both 'x' from f(a)), trim(leading from a), trim(a), trim(trailing 'x' from a), trim(from a), treat(a as int) from t
select array[1, f(2), (select 3 from u)], array[[1, 2], [3, 4]], array(select x from v), array[]::int[], a[1], a[1:2], a[:2], a[f(1):], a[:][2], (array[1, 2])[g(1)] from t
select f(variadic array[1, 2]), f(1, variadic g(2)), f(a => 1, b := 2), f(1, c => (select 3 from u)), f(distinct a order by b), f(all a), f(*), f(a order by b, g(c) desc), s.f(a) from t
select count(*), count(distinct a), string_agg(a, ',' order by b), array_agg(distinct f(a)) from t
select exists (select 1 from u), not exists (table v), unique_(1), a in (1, 2, f(3)), a not in (select x from w), (select 1 from z) from t
select $1, $2::int, $1.a, ($3).b, $4[1]
select current_date, current_time(3), current_timestamp, localtime, localtimestamp(2), current_user, current_catalog
select a collate "C", f(b) collate s.c, a collate pg_catalog."default" || b from t order by a collate "de_DE"
select grouping(a), a -> 'b' ->> 'c', a #> '{x}', a @> b, a ? 'x', a ?| array['x'], a @? '$.a', a @@ 'x', a << b, a &< b, a -|- b, a <-> b, a ^@ 'x', a && b, a # b, a ^ 2 % 3 from t
select a+b, a-b, a*b, a/b, a@-b, a=-b, a<=-1, a!=b, a<>b, a>=+b from t
select -f(1), not f(2), f(3) is null, (f(4))[1], (f(5)).a_, (f(6)) from t
-- literals
select 'it''s', E'a\'b\\', U&'d\0061t', U&'d!0061t' uescape '!', B'101', X'1F', N'x', $$a'b$$, $t$f(1); $$ $t$, 'a'  
select 1, 1.5, .5, 5., 1e10, 1.5e-3, 1_000, 0x1F, 0o17, 0b101, 1_0.0_1, 0x_ff
select U&"d\0061t" from U&"t\0061b"
select a from t where b in (1, 2, 3) and c = 'x' /* f(1) from q /* nested */ */ -- g(2) from r
select 'a' -- comment
select true, false, null, 'x' = 'y', date 'now'
select a.b.c.d from a.b.c
select é, "É" from tablé
-- other commands
copy (select * from t, u) to stdout
copy t to stdout
explain select * from t
explain (analyze, verbose) select f(a) from t
