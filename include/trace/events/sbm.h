/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sandbox mode (SBM): trace points. The instance's id is that of reports and of
 * debugfs. Described in Documentation/sandbox/reports.rst.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM sbm

#if !defined(_TRACE_SBM_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_SBM_H

#include <linux/sbm.h>
#include <linux/tracepoint.h>

TRACE_DEFINE_ENUM(SBM_ISOLATION_NONE);
TRACE_DEFINE_ENUM(SBM_ISOLATION_WEAK);
TRACE_DEFINE_ENUM(SBM_ISOLATION_STRONG);

/* An instance was set up */
TRACE_EVENT(sbm_init,

	TP_PROTO(u64 id, enum sbm_isolation isolation),

	TP_ARGS(id, isolation),

	TP_STRUCT__entry(
		__field(u64,		id)
		__field(unsigned int,	isolation)
	),

	TP_fast_assign(
		__entry->id		= id;
		__entry->isolation	= isolation;
	),

	TP_printk("id=%llu isolation=%s", __entry->id,
		  __print_symbolic(__entry->isolation,
				   { SBM_ISOLATION_NONE,	"none" },
				   { SBM_ISOLATION_WEAK,	"weak" },
				   { SBM_ISOLATION_STRONG,	"strong" }))
);

/* A target is about to be called */
TRACE_EVENT(sbm_enter,

	TP_PROTO(u64 id, unsigned long target, unsigned long caller),

	TP_ARGS(id, target, caller),

	TP_STRUCT__entry(
		__field(u64,		id)
		__field(void *,		target)
		__field(void *,		caller)
	),

	TP_fast_assign(
		__entry->id		= id;
		__entry->target		= (void *)target;
		__entry->caller		= (void *)caller;
	),

	TP_printk("id=%llu target=%ps caller=%pS", __entry->id, __entry->target,
		  __entry->caller)
);

/* Something has ended a stay in the sandbox: the target may go on, or not */
TRACE_EVENT(sbm_event,

	TP_PROTO(u64 id, unsigned int vector, unsigned long ip),

	TP_ARGS(id, vector, ip),

	TP_STRUCT__entry(
		__field(u64,		id)
		__field(void *,		ip)
		__field(unsigned int,	vector)
	),

	TP_fast_assign(
		__entry->id		= id;
		__entry->ip		= (void *)ip;
		__entry->vector		= vector;
	),

	TP_printk("id=%llu vector=%u ip=%pS", __entry->id, __entry->vector, __entry->ip)
);

/* A target was stopped, see struct sbm_fault */
TRACE_EVENT(sbm_fault,

	TP_PROTO(u64 id, const struct sbm_fault *fault),

	TP_ARGS(id, fault),

	TP_STRUCT__entry(
		__field(u64,		id)
		__field(void *,		ip)
		__field(unsigned long,	address)
		__field(unsigned long,	error_code)
		__field(unsigned int,	vector)
		__field(unsigned int,	cause)
	),

	TP_fast_assign(
		__entry->id		= id;
		__entry->ip		= (void *)fault->ip;
		__entry->address	= fault->address;
		__entry->error_code	= fault->error_code;
		__entry->vector		= fault->vector;
		__entry->cause		= fault->cause;
	),

	TP_printk("id=%llu cause=%u vector=%u error_code=%lx address=%lx ip=%pS",
		  __entry->id, __entry->cause, __entry->vector,
		  __entry->error_code, __entry->address, __entry->ip)
);

/* A call is over; result: what the target has returned, or why it was stopped */
TRACE_EVENT(sbm_exit,

	TP_PROTO(u64 id, int result),

	TP_ARGS(id, result),

	TP_STRUCT__entry(
		__field(u64,	id)
		__field(int,	result)
	),

	TP_fast_assign(
		__entry->id	= id;
		__entry->result	= result;
	),

	TP_printk("id=%llu result=%d", __entry->id, __entry->result)
);

/* An instance goes */
TRACE_EVENT(sbm_destroy,

	TP_PROTO(u64 id),

	TP_ARGS(id),

	TP_STRUCT__entry(
		__field(u64,	id)
	),

	TP_fast_assign(
		__entry->id	= id;
	),

	TP_printk("id=%llu", __entry->id)
);

#endif /* _TRACE_SBM_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
