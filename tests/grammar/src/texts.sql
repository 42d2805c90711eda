select 1; select 2
;;select 1;;
select ';' ; select $$;$$; select E'\';'; select ";" from t; select 1 -- ;
/* ; */ select 1 /* ; /* ; */ ; */ ; select 2;
begin; insert into t values (1); commit
create function f() returns int begin atomic select 1; select 2; end; select 3
create function f() returns int language sql begin atomic select case when true then 1 end; end; select f()
create procedure p() begin atomic insert into t values (1); delete from u; end; call p()
create rule r as on insert to t do also (insert into u values (1); delete from v); select 1
do $x$ begin; end; $x$; select 1
select U&'a;\0061' ; select U&"a;b" from t; select B'1;0'
select 1 as begin; select 2 as atomic; select 3
select 1;	select 2
select $1;select $2;
select $a$ ; $b$ ; $a$; select 1
