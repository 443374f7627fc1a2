// SPDX-License-Identifier: GPL-2.0-only
//
// What scripts/sbm/convert asks coccinelle for: facts, a line each, in fields that
// tabs divide: kind, file, line, column, function, and what belongs to the kind.

virtual facts

@initialize:python@
@@

def say(kind, p, *words):
    print("\t".join([kind, p.file, p.line, p.column, p.current_element] +
                    [str(w).strip() for w in words]))

// --- Of each function: what is written through a pointer, read, and passed on ---

// A disjunction takes one of its forms in a statement, so those that can come together
// are rules of their own.

@write_star@
idexpression x;
expression E, i;
type T;
position p;
assignment operator op;
@@

(
  *x@p op E
|
  *x@p++ op E
|
  *(x@p + i) op E
|
  *(T)x@p op E
)

@script:python@
p << write_star.p;
x << write_star.x;
op << write_star.op;
@@

say("write", p[0], x, op)

@write_index@
idexpression x;
expression E, i, j;
identifier fld;
position p;
assignment operator op;
@@

(
  x@p[i] op E
|
  x@p[i][j] op E
|
  x@p[i].fld op E
)

@script:python@
p << write_index.p;
x << write_index.x;
op << write_index.op;
@@

say("write", p[0], x, op)

@write_member@
idexpression x;
expression E, i;
identifier fld, fld2;
position p;
assignment operator op;
@@

(
  x@p->fld op E
|
  x@p->fld[i] op E
|
  x@p->fld.fld2 op E
)

@script:python@
p << write_member.p;
x << write_member.x;
op << write_member.op;
@@

say("write", p[0], x, op)

@counted@
idexpression x;
expression i;
identifier fld;
position p;
@@

(
  (*x@p)++
|
  ++(*x@p)
|
  (*x@p)--
|
  --(*x@p)
|
  x@p->fld++
|
  ++x@p->fld
|
  x@p->fld--
|
  --x@p->fld
|
  x@p[i]++
|
  ++x@p[i]
)

@script:python@
p << counted.p;
x << counted.x;
@@

say("write", p[0], x, "both")

@deref@
idexpression x;
expression i;
identifier fld;
type T;
position p;
@@

(
  *x@p
|
  *x@p++
|
  *(x@p + i)
|
  *(T)x@p
|
  x@p[i]
|
  x@p->fld
)

@script:python@
p << deref.p;
x << deref.x;
@@

say("deref", p[0], x)

@follow@
idexpression x;
expression i;
identifier fld, fld2;
position p;
@@

(
  x@p->fld->fld2
|
  *x@p->fld
|
  *(x@p->fld + i)
)

@script:python@
p << follow.p;
x << follow.x;
fld << follow.fld;
@@

say("follow", p[0], x, fld)

@alias@
idexpression x, y;
expression i;
type T;
position p;
@@

(
  y@p = x
|
  y@p = (T)x
|
  y@p = x + i
|
  y@p = (T)x + i
|
  y@p = (T)(x + i)
|
  y@p = &x[i]
)

@script:python@
p << alias.p;
x << alias.x;
y << alias.y;
@@

say("alias", p[0], y, x)

@loop@
iterator I;
idexpression x, y;
statement S;
position p;
@@

  I(y@p, x, ...) S

@script:python@
p << loop.p;
x << loop.x;
y << loop.y;
@@

say("alias", p[0], y, x)

@pass@
identifier g;
idexpression x;
expression list[n] before;
position p;
@@

  g(before, x@p, ...)

@script:python@
p << pass.p;
x << pass.x;
g << pass.g;
n << pass.n;
@@

say("pass", p[0], x, g, n)

@pass_plus@
identifier g;
idexpression x;
expression i;
expression list[n] before;
position p;
@@

  g(before, x@p + i, ...)

@script:python@
p << pass_plus.p;
x << pass_plus.x;
g << pass_plus.g;
n << pass_plus.n;
@@

say("pass", p[0], x, g, n)

@pass_cast@
identifier g;
idexpression x;
type T;
expression list[n] before;
position p;
@@

  g(before, (T)x@p, ...)

@script:python@
p << pass_cast.p;
x << pass_cast.x;
g << pass_cast.g;
n << pass_cast.n;
@@

say("pass", p[0], x, g, n)

@pass_element@
identifier g;
idexpression x;
expression i;
expression list[n] before;
position p;
@@

  g(before, &x@p[i], ...)

@script:python@
p << pass_element.p;
x << pass_element.x;
g << pass_element.g;
n << pass_element.n;
@@

say("pass", p[0], x, g, n)

@pass_member@
identifier g;
idexpression x;
identifier fld;
expression list[n] before;
position p;
@@

  g(before, &x@p->fld, ...)

@script:python@
p << pass_member.p;
x << pass_member.x;
g << pass_member.g;
n << pass_member.n;
@@

say("pass", p[0], x, g, n)

@pass_value@
identifier g;
idexpression x;
identifier fld;
expression list[n] before;
position p;
@@

  g(before, x@p->fld, ...)

@script:python@
p << pass_value.p;
x << pass_value.x;
g << pass_value.g;
n << pass_value.n;
@@

say("pass", p[0], x, g, n)

@byref@
identifier g;
idexpression x;
expression list[n] before;
position p;
@@

  g(before, &x@p, ...)

@script:python@
p << byref.p;
x << byref.x;
g << byref.g;
n << byref.n;
@@

say("pass", p[0], x, g, n, "by address")

// An address or a size only

@address@
idexpression x;
expression i;
identifier fld;
position p;
@@

(
  sizeof(*x@p)
|
  sizeof(x@p[i])
|
  sizeof(x@p->fld)
|
  &x@p[i]
|
  &x@p->fld
|
  &x@p->fld[i]
)

@script:python@
p << address.p;
x << address.x;
@@

say("address", p[0], x)

@callee@
identifier g;
position p;
@@

  g@p(...)

@script:python@
p << callee.p;
g << callee.g;
@@

say("callee", p[0], g)

@statics@
global idexpression x;
position p;
@@

  x@p

@script:python@
p << statics.p;
x << statics.x;
@@

say("global", p[0], x)

// --- The function that is asked about ---

@defined@
identifier g;
position p;
@@

  g@p(...) { ... }

@script:python@
p << defined.p;
g << defined.g;
@@

say("function", p[0], g)

@assigned@
identifier virtual.f;
expression r;
position p;
@@

  r = f@p(...);

@script:python@
p << assigned.p;
r << assigned.r;
@@

say("assigned", p[0], r)

@returned@
identifier virtual.f;
position p;
@@

  return f@p(...);

@script:python@
p << returned.p;
@@

say("returned", p[0])

@ignored@
identifier virtual.f;
position p;
@@

  f@p(...);

@script:python@
p << ignored.p;
@@

say("ignored", p[0])

@called@
identifier virtual.f;
position p;
@@

  f@p(...)

@script:python@
p << called.p;
@@

say("called", p[0])

@taken@
identifier virtual.f;
position p != called.p;
@@

  f@p

@script:python@
p << taken.p;
@@

say("taken", p[0])
