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

#define SBM_TRACE_ISOLATIONS				\
	EM(SBM_ISOLATION_NONE,		"none")		\
	EM(SBM_ISOLATION_WEAK,		"weak")		\
	EMe(SBM_ISOLATION_STRONG,	"strong")

/* The words of the file "stats" in debugfs. Scripts use them: they stay. */
#define SBM_TRACE_CAUSES				\
	EM(SBM_CAUSE_NONE,		"none")		\
	EM(SBM_CAUSE_PAGE_FAULT,	"page_fault")	\
	EM(SBM_CAUSE_PROTECTION,	"protection")	\
	EM(SBM_CAUSE_ILLEGAL_INSN,	"illegal_insn")	\
	EM(SBM_CAUSE_ARITHMETIC,	"arithmetic")	\
	EM(SBM_CAUSE_DEBUG,		"debug")	\
	EM(SBM_CAUSE_FPU,		"fpu")		\
	EM(SBM_CAUSE_SYSCALL,		"syscall")	\
	EM(SBM_CAUSE_SEGMENT,		"segment")	\
	EM(SBM_CAUSE_PROBE,		"probe")	\
	EM(SBM_CAUSE_MACHINE_CHECK,	"machine_check") \
	EM(SBM_CAUSE_SIGNAL,		"signal")	\
	EM(SBM_CAUSE_CANCEL,		"cancel")	\
	EM(SBM_CAUSE_TIME,		"time")		\
	EM(SBM_CAUSE_TRACED,		"traced")	\
	EM(SBM_CAUSE_DEVICE,		"device")	\
	EM(SBM_CAUSE_HOSTCALL,		"hostcall")	\
	EM(SBM_CAUSE_OTHER,		"other")	\
	EMe(SBM_CAUSE_INTERNAL,		"internal")

#define SBM_TRACE_ACCESSES				\
	EM(SBM_ACCESS_NONE,		"none")		\
	EM(SBM_ACCESS_READ,		"read")		\
	EM(SBM_ACCESS_WRITE,		"write")	\
	EMe(SBM_ACCESS_EXEC,		"exec")

/* First tell those that read a trace the values of the enums, then have the words */
#undef EM
#undef EMe
#define EM(value, word)		TRACE_DEFINE_ENUM(value);
#define EMe(value, word)	TRACE_DEFINE_ENUM(value);

SBM_TRACE_ISOLATIONS
SBM_TRACE_CAUSES
SBM_TRACE_ACCESSES

#undef EM
#undef EMe
#define EM(value, word)		{ value, word },
#define EMe(value, word)	{ value, word }

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
		  __print_symbolic(__entry->isolation, SBM_TRACE_ISOLATIONS))
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

/*
 * A target's host call was served; name: which one, result: what it was answered. One
 * that is not allowed has no name, and its number is as the target has given it.
 */
TRACE_EVENT(sbm_hostcall,

	TP_PROTO(u64 id, const char *name, unsigned long number, long result),

	TP_ARGS(id, name, number, result),

	TP_STRUCT__entry(
		__field(u64,		id)
		__string(name,		name)
		__field(unsigned long,	number)
		__field(long,		result)
	),

	TP_fast_assign(
		__entry->id		= id;
		__assign_str(name);
		__entry->number		= number;
		__entry->result		= result;
	),

	TP_printk("id=%llu name=%s number=%lx result=%ld", __entry->id,
		  __get_str(name), __entry->number, __entry->result)
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
		__field(unsigned int,	access)
	),

	TP_fast_assign(
		__entry->id		= id;
		__entry->ip		= (void *)fault->ip;
		__entry->address	= fault->address;
		__entry->error_code	= fault->error_code;
		__entry->vector		= fault->vector;
		__entry->cause		= fault->cause;
		__entry->access		= fault->access;
	),

	TP_printk("id=%llu cause=%s vector=%u error_code=%lx access=%s address=%lx ip=%pS",
		  __entry->id,
		  __print_symbolic(__entry->cause, SBM_TRACE_CAUSES),
		  __entry->vector, __entry->error_code,
		  __print_symbolic(__entry->access, SBM_TRACE_ACCESSES),
		  __entry->address, __entry->ip)
);

/*
 * A call is over; result: what the target has returned, or why it was stopped; time:
 * nanoseconds that it has spent inside
 */
TRACE_EVENT(sbm_exit,

	TP_PROTO(u64 id, int result, u64 time),

	TP_ARGS(id, result, time),

	TP_STRUCT__entry(
		__field(u64,	id)
		__field(u64,	time)
		__field(int,	result)
	),

	TP_fast_assign(
		__entry->id	= id;
		__entry->time	= time;
		__entry->result	= result;
	),

	TP_printk("id=%llu result=%d time_ns=%llu", __entry->id, __entry->result,
		  __entry->time)
);

/* The IOMMU has refused an access of the device that an instance has */
TRACE_EVENT(sbm_dma_fault,

	TP_PROTO(u64 id, const char *device, u64 address, bool write),

	TP_ARGS(id, device, address, write),

	TP_STRUCT__entry(
		__field(u64,		id)
		__field(u64,		address)
		__array(char,		device, 32)
		__field(bool,		write)
	),

	TP_fast_assign(
		__entry->id		= id;
		__entry->address	= address;
		strscpy(__entry->device, device, sizeof(__entry->device));
		__entry->write		= write;
	),

	TP_printk("id=%llu device=%s address=%llx access=%s", __entry->id,
		  __entry->device, __entry->address,
		  __entry->write ? "write" : "read")
);

DECLARE_EVENT_CLASS(sbm_instance,

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

/* An instance is as good as new: one of a pool has another user from here on */
DEFINE_EVENT(sbm_instance, sbm_reset, TP_PROTO(u64 id), TP_ARGS(id));

/* An instance goes */
DEFINE_EVENT(sbm_instance, sbm_destroy, TP_PROTO(u64 id), TP_ARGS(id));

#endif /* _TRACE_SBM_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
