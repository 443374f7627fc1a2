// SPDX-License-Identifier: GPL-2.0-only
/// A sandbox on the stack owns pages: destroy it on every path. After
/// sbm_destroy() or sbm_pool_put() there is no error to ask for, no call to be
/// made, and what sbm_fault() has returned is gone; after the next call, too.
///
//# Any function that is not in a list below, sbm_destroy() among them, ends a path.
//# An instance that is passed to an unknown function is taken to be destroyed
//# there. In patch mode, sbm_destroy() is put before the return: an instance of
//# a pool wants sbm_pool_put(), and a label may be nicer.
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

// Positions do not outlive a change, so each rule is followed by its own

// A path from its birth to a return, before it is used; not where that has failed

@unused exists@
local idexpression struct sbm s;
identifier f;
expression e;
position p, p2;
@@

(
  sbm_init@p(&s);
|
  sbm_init_attr@p(&s, ...);
)
  ... when != f(..., &s, ...)
(
  return <+...&s...+>;
|
  return@p2;
|
  return@p2 e;
)

@depends on patch@
local idexpression struct sbm unused.s;
position unused.p2;
@@

+ sbm_destroy(&s);
  return@p2 ...;

// The same where the error is kept; not the path of the error

@failed exists@
local idexpression struct sbm s;
local idexpression err;
identifier f;
expression pool, e;
position p, p2;
@@

(
  err = sbm_init@p(&s);
|
  err = sbm_init_attr@p(&s, ...);
|
  err = sbm_pool_get@p(pool, &s);
)
  ... when != f(..., &s, ...)
      when != true err
      when != true err < 0
      when != true err != 0
      when != false !err
      when != false err == 0
(
  return <+...&s...+>;
|
  return@p2;
|
  return@p2 e;
)

@depends on patch@
local idexpression struct sbm failed.s;
position failed.p2;
@@

+ sbm_destroy(&s);
  return@p2 ...;

// The same from its use

@lost exists@
local idexpression struct sbm s;
identifier f != { sbm_call, sbm_exec, sbm_error, sbm_fault, sbm_instance_isolation,
		  sbm_describe, sbm_cancel, sbm_reset, SBM_COPY_IN, SBM_COPY_OUT,
		  SBM_COPY_INOUT, SBM_COPY_FIELDS, SBM_COPY_FIELDS_ARRAY,
		  SBM_MAP_READONLY, SBM_MAP_WRITABLE };
expression e;
position p, p2;
@@

(
  sbm_call@p(&s, ...)
|
  sbm_exec@p(&s, ...)
|
  SBM_COPY_IN@p(&s, ...)
|
  SBM_COPY_OUT@p(&s, ...)
|
  SBM_COPY_INOUT@p(&s, ...)
|
  SBM_COPY_FIELDS@p(&s, ...)
|
  SBM_COPY_FIELDS_ARRAY@p(&s, ...)
|
  SBM_MAP_READONLY@p(&s, ...)
|
  SBM_MAP_WRITABLE@p(&s, ...)
)
  ... when != f(..., &s, ...)
(
  return <+...&s...+>;
|
  return@p2;
|
  return@p2 e;
)

// ... which is the use itself

@at_once@
local idexpression struct sbm s;
position p;
@@

(
  return sbm_call@p(&s, ...);
|
  return sbm_exec@p(&s, ...);
)

@depends on patch@
local idexpression struct sbm lost.s;
position lost.p2;
@@

+ sbm_destroy(&s);
  return@p2 ...;

// After its end; other functions may set it up again

@end@
expression s, pool;
position p;
@@

(
  sbm_destroy@p(s);
|
  sbm_pool_put@p(pool, s);
)

@after exists@
expression end.s, sub <= end.s, pool, E;
identifier f = { sbm_call, sbm_exec, sbm_error, sbm_fault, sbm_instance_isolation,
		 sbm_describe, sbm_cancel, sbm_reset, SBM_COPY_IN, SBM_COPY_OUT,
		 SBM_COPY_INOUT, SBM_COPY_FIELDS, SBM_COPY_FIELDS_ARRAY,
		 SBM_MAP_READONLY, SBM_MAP_WRITABLE };
identifier g != { sbm_call, sbm_exec, sbm_error, sbm_fault, sbm_instance_isolation,
		  sbm_describe, sbm_cancel, sbm_reset, SBM_COPY_IN, SBM_COPY_OUT,
		  SBM_COPY_INOUT, SBM_COPY_FIELDS, SBM_COPY_FIELDS_ARRAY,
		  SBM_MAP_READONLY, SBM_MAP_WRITABLE, sbm_destroy,
		  sbm_pool_put };
position end.p, p2;
@@

(
  sbm_destroy@p(s);
|
  sbm_pool_put@p(pool, s);
)
  ... when != g(..., s, ...)
      when != sub = E
      when != sub++
      when != ++sub
      when != sub--
      when != --sub
  f@p2(s, ...)

// What stopped it, read when it is gone

@stale exists@
local idexpression fault;
identifier fld;
expression s, pool, E;
position p, p2;
@@

  fault = sbm_fault(s)
  ... when != fault = E
(
  sbm_destroy@p(s)
|
  sbm_reset@p(s)
|
  sbm_pool_put@p(pool, s)
|
  sbm_call@p(s, ...)
|
  sbm_exec@p(s, ...)
)
  ... when != fault = E
  fault@p2->fld

// --- What is shown ---

@depends on context@
position lost.p, lost.p2;
identifier f;
@@

* f@p(...)
  ...
* return@p2 ...;

@depends on context@
position at_once.p;
identifier f;
@@

* f@p(...)

@depends on context@
position unused.p, unused.p2;
identifier f;
@@

* f@p(...)
  ...
* return@p2 ...;

@depends on context@
position failed.p, failed.p2;
identifier f;
@@

* f@p(...)
  ...
* return@p2 ...;

@depends on context@
position end.p, after.p2;
identifier f, g;
@@

* f@p(...)
  ...
* g@p2(...)

@depends on context@
position stale.p, stale.p2;
identifier f, fld;
expression fault;
@@

* f@p(...)
  ...
* fault@p2->fld

// --- What is said ---

@script:python depends on report@
p << lost.p;
p2 << lost.p2;
s << lost.s;
@@

msg = "'%s', used on line %s, is not destroyed on a path to here" % (s, p[0].line)
coccilib.report.print_report(p2[0], msg)

@script:python depends on org@
p << lost.p;
p2 << lost.p2;
s << lost.s;
@@

coccilib.org.print_todo(p2[0], "'%s' is not destroyed on a path to here" % (s))
coccilib.org.print_link(p[0], "its use")

@script:python depends on report@
p << at_once.p;
s << at_once.s;
@@

coccilib.report.print_report(p[0], "'%s' is not destroyed after this call" % (s))

@script:python depends on org@
p << at_once.p;
s << at_once.s;
@@

coccilib.org.print_todo(p[0], "'%s' is not destroyed after this call" % (s))

@script:python depends on report@
p << unused.p;
p2 << unused.p2;
s << unused.s;
@@

msg = "'%s', set up on line %s, is not destroyed on a path to here" % (s, p[0].line)
coccilib.report.print_report(p2[0], msg)

@script:python depends on report@
p << failed.p;
p2 << failed.p2;
s << failed.s;
@@

msg = "'%s', set up on line %s, is not destroyed on a path to here" % (s, p[0].line)
coccilib.report.print_report(p2[0], msg)

@script:python depends on org@
p << unused.p;
p2 << unused.p2;
s << unused.s;
@@

coccilib.org.print_todo(p2[0], "'%s' is not destroyed on a path to here" % (s))
coccilib.org.print_link(p[0], "where it is set up")

@script:python depends on org@
p << failed.p;
p2 << failed.p2;
s << failed.s;
@@

coccilib.org.print_todo(p2[0], "'%s' is not destroyed on a path to here" % (s))
coccilib.org.print_link(p[0], "where it is set up")

@script:python depends on report@
p << end.p;
p2 << after.p2;
f << after.f;
s << end.s;
@@

msg = "%s(%s) after its end on line %s" % (f, s.replace("& ", "&"), p[0].line)
coccilib.report.print_report(p2[0], msg)

@script:python depends on org@
p << end.p;
p2 << after.p2;
f << after.f;
s << end.s;
@@

coccilib.org.print_todo(p2[0], "%s(%s) after its end" % (f, s.replace("& ", "&")))
coccilib.org.print_link(p[0], "its end")

@script:python depends on report@
p << stale.p;
p2 << stale.p2;
fault << stale.fault;
@@

msg = "'%s' is read, which line %s has made void" % (fault, p[0].line)
coccilib.report.print_report(p2[0], msg)

@script:python depends on org@
p << stale.p;
p2 << stale.p2;
fault << stale.fault;
@@

coccilib.org.print_todo(p2[0], "'%s' is read, which is void" % (fault))
coccilib.org.print_link(p[0], "what has made it void")
