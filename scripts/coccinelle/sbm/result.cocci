// SPDX-License-Identifier: GPL-2.0-only
/// Look at the result of sbm_call() and sbm_exec() before anything else: it is an
/// error if the target was stopped or could not run, and output buffers hold
/// nothing then.
///
//# A result that only sbm_error() or sbm_fault() stands for counts as looked at. Output that is
//# used through another name is not found.
//# A static SBM_DEFINE_CALL() wants a semicolon at its end: coccinelle skips the
//# function behind it otherwise.
//
// Confidence: Moderate
// URL: https://coccinelle.gitlabpages.inria.fr/website
// Options: --no-includes --include-headers

virtual context
virtual org
virtual report

@ignored@
position p;
@@

(
* sbm_call@p(...);
|
* sbm_exec@p(...);
|
* (void)sbm_call@p(...);
|
* (void)sbm_exec@p(...);
)

// On no path

@unread forall@
local idexpression err;
expression s;
position p;
@@

(
* err = sbm_call@p(s, ...);
|
* err = sbm_exec@p(s, ...);
)
  ... when != err
      when != sbm_error(s)
      when != sbm_fault(s)

@overwritten exists@
local idexpression err;
expression s, E;
position p, p2;
@@

(
* err = sbm_call@p(s, ...);
|
* err = sbm_exec@p(s, ...);
)
  ... when != err
      when != sbm_error(s)
      when != sbm_fault(s)
(
  err = <+...err...+>;
|
* err@p2 = E;
)

// Nothing is wrong in a condition that looks at the result as well, with a size, or if
// it is written anew

@initialize:python@
@@

import re

def fine(p, err):
    with open(p.file, errors="replace") as f:
        lines = f.read().split("\n")
    first = last = int(p.line) - 1
    while first > 0 and not re.search(r"[;{}:]\s*$|^\s*$|^#", lines[first - 1]):
        first -= 1
    column = int(p.column)
    before = " ".join(lines[first:last] + [lines[last][:column]])
    behind = lines[last][column:]
    return re.search(r"\b%s\b(?!\s*=[^=])" % re.escape(err), before) or \
        re.search(r"\bsizeof\s*\(\*?$|\bmem(set|zero_explicit)\(&?$", before) or \
        re.match(r"\w+\s*=[^=]", behind)

// The caller's name of an output buffer, before the error is looked at

@value exists@
expression s, size, E;
local idexpression err;
idexpression v;
position p, p2;
@@

  err = sbm_call@p(s, ..., \(SBM_COPY_OUT\|SBM_COPY_INOUT\|SBM_COPY_FIELDS\)(s, &v, size), ...)
  ... when != \(err\|&err\)
      when != sbm_error(s)
      when != v = E
  v@p2

@script:python@
p2 << value.p2;
err << value.err;
@@

if fine(p2[0], err):
    cocci.include_match(False)

@depends on context@
idexpression value.v;
position value.p2;
@@

* v@p2

@script:python depends on report@
p << value.p;
p2 << value.p2;
v << value.v;
@@

msg = "output '%s' is used before the result of the call on line %s is looked at" % (v, p[0].line)
coccilib.report.print_report(p2[0], msg)

@script:python depends on org@
p << value.p;
p2 << value.p2;
v << value.v;
@@

msg = "output '%s' is used before the result is looked at" % (v)
coccilib.org.print_todo(p2[0], msg)
coccilib.org.print_link(p[0], "the call")

@value_made exists@
expression s, size, E;
local idexpression err;
idexpression v;
idexpression inside;
position p, p2;
@@

  inside = \(SBM_COPY_OUT\|SBM_COPY_INOUT\|SBM_COPY_FIELDS\)(s, &v, size)
  ... when != v = E
  err = sbm_call@p(s, ..., inside, ...)
  ... when != \(err\|&err\)
      when != sbm_error(s)
      when != v = E
  v@p2

@script:python@
p2 << value_made.p2;
err << value_made.err;
@@

if fine(p2[0], err):
    cocci.include_match(False)

@depends on context@
idexpression value_made.v;
position value_made.p2;
@@

* v@p2

@script:python depends on report@
p << value_made.p;
p2 << value_made.p2;
v << value_made.v;
@@

msg = "output '%s' is used before the result of the call on line %s is looked at" % (v, p[0].line)
coccilib.report.print_report(p2[0], msg)

@script:python depends on org@
p << value_made.p;
p2 << value_made.p2;
v << value_made.v;
@@

msg = "output '%s' is used before the result is looked at" % (v)
coccilib.org.print_todo(p2[0], msg)
coccilib.org.print_link(p[0], "the call")

@pointer exists@
expression s, size, E, b;
local idexpression err;
identifier fld;
identifier f != { kfree, kvfree, vfree, kfree_sensitive, kvfree_sensitive, memset,
		  memzero_explicit, sbm_call, SBM_COPY_OUT, SBM_COPY_INOUT,
		  SBM_COPY_FIELDS };
position p, p2;
@@

  err = sbm_call@p(s, ..., \(SBM_COPY_OUT\|SBM_COPY_INOUT\|SBM_COPY_FIELDS\)(s, b, size), ...)
  ... when != \(err\|&err\)
      when != sbm_error(s)
      when != b = E
(
  b@p2->fld
|
  *b@p2
|
  b@p2[...]
|
  f(..., b@p2, ...)
)

@script:python@
p2 << pointer.p2;
err << pointer.err;
@@

if fine(p2[0], err):
    cocci.include_match(False)

@depends on context@
expression pointer.b;
position pointer.p2;
@@

* b@p2

@script:python depends on report@
p << pointer.p;
p2 << pointer.p2;
b << pointer.b;
@@

msg = "output '%s' is used before the result of the call on line %s is looked at" % (b, p[0].line)
coccilib.report.print_report(p2[0], msg)

@script:python depends on org@
p << pointer.p;
p2 << pointer.p2;
b << pointer.b;
@@

msg = "output '%s' is used before the result is looked at" % (b)
coccilib.org.print_todo(p2[0], msg)
coccilib.org.print_link(p[0], "the call")

@pointer_made exists@
expression s, size, E, b;
local idexpression err;
identifier fld;
idexpression inside;
identifier f != { kfree, kvfree, vfree, kfree_sensitive, kvfree_sensitive, memset,
		  memzero_explicit, sbm_call, SBM_COPY_OUT, SBM_COPY_INOUT,
		  SBM_COPY_FIELDS };
position p, p2;
@@

  inside = \(SBM_COPY_OUT\|SBM_COPY_INOUT\|SBM_COPY_FIELDS\)(s, b, size)
  ... when != b = E
  err = sbm_call@p(s, ..., inside, ...)
  ... when != \(err\|&err\)
      when != sbm_error(s)
      when != b = E
(
  b@p2->fld
|
  *b@p2
|
  b@p2[...]
|
  f(..., b@p2, ...)
)

@script:python@
p2 << pointer_made.p2;
err << pointer_made.err;
@@

if fine(p2[0], err):
    cocci.include_match(False)

@depends on context@
expression pointer_made.b;
position pointer_made.p2;
@@

* b@p2

@script:python depends on report@
p << pointer_made.p;
p2 << pointer_made.p2;
b << pointer_made.b;
@@

msg = "output '%s' is used before the result of the call on line %s is looked at" % (b, p[0].line)
coccilib.report.print_report(p2[0], msg)

@script:python depends on org@
p << pointer_made.p;
p2 << pointer_made.p2;
b << pointer_made.b;
@@

msg = "output '%s' is used before the result is looked at" % (b)
coccilib.org.print_todo(p2[0], msg)
coccilib.org.print_link(p[0], "the call")

// --- What is said of the others ---

@script:python depends on report@
p << ignored.p;
@@

coccilib.report.print_report(p[0], "the result of a sandbox is ignored")

@script:python depends on org@
p << ignored.p;
@@

coccilib.org.print_todo(p[0], "the result of a sandbox is ignored")

@script:python depends on report@
p << unread.p;
@@

coccilib.report.print_report(p[0], "the result of a sandbox is never looked at")

@script:python depends on org@
p << unread.p;
@@

coccilib.org.print_todo(p[0], "the result of a sandbox is never looked at")

@script:python depends on report@
p << overwritten.p;
p2 << overwritten.p2;
err << overwritten.err;
@@

msg = "'%s' is written again before the result of the call on line %s is looked at" % (err, p[0].line)
coccilib.report.print_report(p2[0], msg)

@script:python depends on org@
p << overwritten.p;
p2 << overwritten.p2;
err << overwritten.err;
@@

msg = "'%s' is written again before the result is looked at" % (err)
coccilib.org.print_todo(p2[0], msg)
coccilib.org.print_link(p[0], "the call")
