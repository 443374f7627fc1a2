// SPDX-License-Identifier: GPL-2.0-only
/// What SBM_COPY_IN() and the like return is an address inside the sandbox: it is
/// for the target, and means nothing outside. And the other way round: the
/// caller's own addresses mean nothing inside.
///
//# With weak isolation, or none, such code seems to work.
//# A static SBM_DEFINE_CALL() wants a semicolon at its end: coccinelle skips the
//# function behind it otherwise.
//
// Confidence: Moderate
// URL: https://coccinelle.gitlabpages.inria.fr/website
// Options: --no-includes --include-headers

virtual patch
virtual context
virtual org
virtual report

// No access: a size, an address computed from it

@fine depends on !patch@
expression a;
identifier fld, fld2;
position ok;
@@

(
  sizeof(<+...a@ok...+>)
|
  &a@ok->fld
|
  &a@ok->fld[...]
|
  &a@ok->fld.fld2
|
  &a@ok[...]
)

// An address inside is used outside

@outside depends on !patch exists@
local idexpression a;
identifier buf = { SBM_COPY_IN, SBM_COPY_OUT, SBM_COPY_INOUT, SBM_COPY_FIELDS,
		   SBM_COPY_FIELDS_ARRAY, SBM_MAP_READONLY, SBM_MAP_WRITABLE };
identifier fld;
identifier f = { memcpy, memmove, memset, memcmp, strlen, strcmp, strncmp, strscpy,
		 strcpy, kfree, kvfree, copy_to_user, copy_from_user, kmemdup,
		 get_unaligned, put_unaligned };
expression E, e1, e2;
position p, p2 != fine.ok;
@@

* a = buf@p(...)
  ... when != a = E
(
* a@p2->fld
|
* *a@p2
|
* a@p2[...]
|
* f(a@p2, ...)
|
* f(e1, a@p2, ...)
|
* f(e1, e2, a@p2)
)

// The size of a pointer instead of what it points to

@size depends on !patch@
expression *b;
expression s;
identifier buf = { SBM_COPY_IN, SBM_COPY_OUT, SBM_COPY_INOUT, SBM_MAP_READONLY,
		   SBM_MAP_WRITABLE };
position p;
@@

* buf(s, b, sizeof(b@p))

@depends on patch@
expression *b;
expression s;
identifier buf = { SBM_COPY_IN, SBM_COPY_OUT, SBM_COPY_INOUT, SBM_MAP_READONLY,
		   SBM_MAP_WRITABLE };
@@

  buf(s, b,
-	sizeof(b)
+	sizeof(*b)
  )

// The address of something of the caller's

@own depends on !patch@
local idexpression v;
expression s;
identifier f;
position p;
@@

* sbm_call(s, f, ..., &v@p, ...)

@array depends on !patch exists@
type T;
local idexpression T[] v;
expression s;
identifier f;
position p;
@@

* sbm_call(s, f, ..., v@p, ...)

@script:python depends on report@
p << outside.p;
p2 << outside.p2;
a << outside.a;
@@

msg = "'%s' of line %s is an address inside the sandbox, used outside" % (a, p[0].line)
coccilib.report.print_report(p2[0], msg)

@script:python depends on org@
p << outside.p;
p2 << outside.p2;
a << outside.a;
@@

msg = "'%s' is an address inside the sandbox, used outside" % (a)
coccilib.org.print_todo(p2[0], msg)
coccilib.org.print_link(p[0], "where it comes from")

@script:python depends on report@
p << size.p;
b << size.b;
@@

coccilib.report.print_report(p[0], "size of the pointer '%s', not of the buffer" % (b))

@script:python depends on org@
p << size.p;
b << size.b;
@@

coccilib.org.print_todo(p[0], "size of the pointer '%s', not of the buffer" % (b))

@script:python depends on report@
p << own.p;
v << own.v;
@@

msg = "'%s' is the caller's memory, which is not there inside: pass a buffer" % (v)
coccilib.report.print_report(p[0], msg)

@script:python depends on org@
p << own.p;
v << own.v;
@@

msg = "'%s' is the caller's memory, which is not there inside: pass a buffer" % (v)
coccilib.org.print_todo(p[0], msg)

@script:python depends on report@
p << array.p;
v << array.v;
@@

msg = "'%s' is the caller's memory, which is not there inside: pass a buffer" % (v)
coccilib.report.print_report(p[0], msg)

@script:python depends on org@
p << array.p;
v << array.v;
@@

msg = "'%s' is the caller's memory, which is not there inside: pass a buffer" % (v)
coccilib.org.print_todo(p[0], msg)
