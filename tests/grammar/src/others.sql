-- these are no reads, and name what they write
select * into n from t
select * into temp table n from t
select a from t for update
select a from t for no key update of t nowait
select a from t for share of t skip locked for key share
with w as (insert into a select * from b returning *) select * from w
with w as (delete from a using c where a.x = c.x returning *) select * from w, b
with w as (update a set x = 1 returning *) table w
insert into t values (1), (f(2))
insert into t (a, b) select c, d from u
insert into s.t as x (a) values (default) on conflict (a) do update set a = excluded.a where x.b in (select c from u) returning f(a)
insert into t default values
insert into t (a) overriding system value table u
with w as (select * from u) insert into t select * from w
insert into t select * from rows from (f(1))
insert into t values (1) on conflict on constraint c do nothing returning old.a, new.b
insert into t values (1) returning with (old as o, new as n) o.a, n.a
update t set a = 1
update only t x set (a, b) = (select c, d from u), e = f(1), g[1] = 2, h.i = 3 from v join w on true where x.id = v.id returning *
update t set a = default where current of c
update t* set (a) = row (1)
delete from t
delete from only t as x using u, (select * from v) y where x.a = u.a returning x.*
merge into t using u on t.a = u.a when matched then update set b = u.b when not matched then insert (a, b) values (u.a, f(1))
merge into only t x using (select * from u) y on x.a = y.a when matched and y.b then delete when not matched by source then do nothing when not matched by target then insert default values returning merge_action(), x.a
truncate t, s.u
truncate table only t restart identity cascade
copy t (a, b) from stdin
lock table t in share mode
create table n as select * from t
create table n (a int)
alter table t add b int
drop table t
do $$ begin perform f(1); end $$
call p(1)
explain analyze delete from t
declare c cursor for select * from t
fetch 1 from c
close c
listen x
notify x, 'y'
execute p(1)
deallocate p
begin
commit
savepoint a
rollback to a
set a = 1
reset a
show a
discard all
vacuum t
refresh materialized view m
select nextval('s')
select pg_advisory_lock(1)
