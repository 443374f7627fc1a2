/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sandbox mode (SBM): have a source file use what there is inside.
 *
 * scripts/Makefile.sbm has the compiler read this before a source file that is built for
 * the inside of sandboxes; no source file includes it. It reads the kernel's headers for
 * services that need data of the kernel, and then redirects their names: to functions
 * for the inside, to nothing, or to an error of the build that says what is wrong.
 * Documentation/sandbox/runtime.rst has the list.
 */
#ifndef _LINUX_SBM_GUEST_H
#define _LINUX_SBM_GUEST_H

/* Whatever a name is redirected from must be known before */
#include <linux/bug.h>
#include <linux/build_bug.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/export.h>
#include <linux/gfp.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/panic.h>
#include <linux/printk.h>
#include <linux/random.h>
#include <linux/ratelimit.h>
#include <linux/rwsem.h>
#include <linux/sbm_runtime.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/sprintf.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

/* === Memory === */

#undef kmalloc
#undef kmalloc_node
#undef kzalloc
#undef kzalloc_node
#undef kmalloc_array
#undef kmalloc_array_node
#undef kcalloc
#undef kcalloc_node
#undef krealloc
#undef krealloc_array
#undef kvmalloc
#undef kvmalloc_node
#undef kvzalloc
#undef kvzalloc_node
#undef kvmalloc_array
#undef kvcalloc
#undef kvrealloc
#undef vmalloc
#undef vzalloc
#undef kmemdup
#undef kmemdup_array
#undef kvmemdup
#undef kmemdup_nul
#undef kstrdup
#undef kstrdup_const
#undef kstrndup
#undef kasprintf
#undef kvasprintf
#undef kvasprintf_const
#undef kfree
#undef kfree_const
#undef kfree_sensitive
#undef kvfree
#undef kvfree_sensitive
#undef vfree
#undef ksize
#undef kmalloc_size_roundup

#define kmalloc			sbm_guest_kmalloc
#define kmalloc_node(size, flags, node)		sbm_guest_kmalloc(size, flags)
#define kzalloc			sbm_guest_kzalloc
#define kzalloc_node(size, flags, node)		sbm_guest_kzalloc(size, flags)
#define kmalloc_array		sbm_guest_kmalloc_array
#define kmalloc_array_node(n, size, flags, node) sbm_guest_kmalloc_array(n, size, flags)
#define kcalloc			sbm_guest_kcalloc
#define kcalloc_node(n, size, flags, node)	sbm_guest_kcalloc(n, size, flags)
#define krealloc		sbm_guest_krealloc
#define krealloc_array		sbm_guest_krealloc_array
#define kvmalloc		sbm_guest_kmalloc
#define kvmalloc_node(size, flags, node)	sbm_guest_kmalloc(size, flags)
#define kvzalloc		sbm_guest_kzalloc
#define kvzalloc_node(size, flags, node)	sbm_guest_kzalloc(size, flags)
#define kvmalloc_array		sbm_guest_kmalloc_array
#define kvcalloc		sbm_guest_kcalloc
#define kvrealloc		sbm_guest_krealloc
#define vmalloc			sbm_guest_vmalloc
#define vzalloc			sbm_guest_vzalloc
#define kmemdup			sbm_guest_kmemdup
#define kmemdup_array(src, n, size, flags)	sbm_guest_kmemdup(src, size_mul(n, size), flags)
#define kvmemdup		sbm_guest_kmemdup
#define kmemdup_nul		sbm_guest_kmemdup_nul
#define kstrdup			sbm_guest_kstrdup
#define kstrdup_const		sbm_guest_kstrdup
#define kstrndup		sbm_guest_kstrndup
#define kasprintf		sbm_guest_kasprintf
#define kvasprintf		sbm_guest_kvasprintf
#define kvasprintf_const	sbm_guest_kvasprintf
#define kfree			sbm_guest_kfree
#define kfree_const		sbm_guest_kfree
#define kfree_sensitive		sbm_guest_kfree_sensitive
#define kvfree			sbm_guest_kfree
#define kvfree_sensitive(p, len)		sbm_guest_kfree_sensitive(p)
#define vfree			sbm_guest_kfree
#define ksize			sbm_guest_ksize
#define kmalloc_size_roundup(size)		((size_t)(size))

/* For __free(kfree) and __free(kvfree), which paste the name */
DEFINE_FREE(sbm_guest_kfree, void *, if (!IS_ERR_OR_NULL(_T)) sbm_guest_kfree(_T))
#define __free_kfree		__free_sbm_guest_kfree
#define __free_kvfree		__free_sbm_guest_kfree
#define __free_kfree_sensitive	__free_sbm_guest_kfree

/* === Text and messages === */

#undef vsnprintf
#undef vscnprintf
#undef snprintf
#undef scnprintf
#undef sprintf
#undef printk
#undef _printk
#undef vprintk
#undef printk_once
#undef printk_ratelimited
#undef printk_deferred
#undef no_printk
#undef pr_emerg
#undef pr_alert
#undef pr_crit
#undef pr_err
#undef pr_warn
#undef pr_notice
#undef pr_info
#undef pr_cont
#undef pr_debug
#undef pr_devel
#undef pr_emerg_once
#undef pr_alert_once
#undef pr_crit_once
#undef pr_err_once
#undef pr_warn_once
#undef pr_notice_once
#undef pr_info_once
#undef pr_debug_once
#undef pr_emerg_ratelimited
#undef pr_alert_ratelimited
#undef pr_crit_ratelimited
#undef pr_err_ratelimited
#undef pr_warn_ratelimited
#undef pr_notice_ratelimited
#undef pr_info_ratelimited
#undef pr_debug_ratelimited
#undef pr_fmt
#undef dev_fmt

#define vsnprintf		sbm_guest_vsnprintf
#define vscnprintf		sbm_guest_vscnprintf
#define snprintf		sbm_guest_snprintf
#define scnprintf		sbm_guest_scnprintf
#define sprintf			sbm_guest_sprintf

#define printk			sbm_guest_printk
#define _printk			sbm_guest_printk
#define vprintk			sbm_guest_vprintk
#define printk_once		sbm_guest_printk
#define printk_ratelimited	sbm_guest_printk
#define printk_deferred		sbm_guest_printk
#define no_printk(fmt, ...)	({ if (0) sbm_guest_printk(fmt, ##__VA_ARGS__); 0; })

/*
 * A source file may define pr_fmt(), but need not: then it is a function that returns its
 * argument. So levels must not be part of the format.
 */
static __always_inline __attribute__((__format_arg__(1)))
const char *pr_fmt(const char *fmt)
{
	return fmt;
}

#define __sbm_pr(level, fmt, ...)	\
	sbm_guest_printk_level(level, pr_fmt(fmt), ##__VA_ARGS__)

#define pr_emerg(fmt, ...)	__sbm_pr(0, fmt, ##__VA_ARGS__)
#define pr_alert(fmt, ...)	__sbm_pr(1, fmt, ##__VA_ARGS__)
#define pr_crit(fmt, ...)	__sbm_pr(2, fmt, ##__VA_ARGS__)
#define pr_err(fmt, ...)	__sbm_pr(3, fmt, ##__VA_ARGS__)
#define pr_warn(fmt, ...)	__sbm_pr(4, fmt, ##__VA_ARGS__)
#define pr_notice(fmt, ...)	__sbm_pr(5, fmt, ##__VA_ARGS__)
#define pr_info(fmt, ...)	__sbm_pr(6, fmt, ##__VA_ARGS__)
#define pr_cont(fmt, ...)	sbm_guest_printk(KERN_CONT fmt, ##__VA_ARGS__)
#ifdef DEBUG
#define pr_debug(fmt, ...)	__sbm_pr(7, fmt, ##__VA_ARGS__)
#define pr_devel(fmt, ...)	__sbm_pr(7, fmt, ##__VA_ARGS__)
#else
#define pr_debug(fmt, ...)	({ if (0) __sbm_pr(7, fmt, ##__VA_ARGS__); 0; })
#define pr_devel(fmt, ...)	({ if (0) __sbm_pr(7, fmt, ##__VA_ARGS__); 0; })
#endif

/* "Once" and "not too often" need variables. The kernel's side limits all messages. */
#define pr_emerg_once		pr_emerg
#define pr_alert_once		pr_alert
#define pr_crit_once		pr_crit
#define pr_err_once		pr_err
#define pr_warn_once		pr_warn
#define pr_notice_once		pr_notice
#define pr_info_once		pr_info
#define pr_debug_once		pr_debug
#define pr_emerg_ratelimited	pr_emerg
#define pr_alert_ratelimited	pr_alert
#define pr_crit_ratelimited	pr_crit
#define pr_err_ratelimited	pr_err
#define pr_warn_ratelimited	pr_warn
#define pr_notice_ratelimited	pr_notice
#define pr_info_ratelimited	pr_info
#define pr_debug_ratelimited	pr_debug

/* === Checks === */

#undef BUG_ON
#undef panic
#undef WARN_ON
#undef WARN
#undef WARN_ON_ONCE
#undef WARN_ONCE
#undef WARN_TAINT
#undef WARN_TAINT_ONCE
#undef WARN_RATELIMIT
#undef VM_BUG_ON
#undef VM_WARN_ON
#undef VM_WARN_ON_ONCE
#undef dump_stack

/* Before the name has another meaning: inside, an illegal instruction */
static __always_inline void __noreturn __sbm_give_up(void)
{
	BUG();
}

#undef BUG

#define BUG()						\
do {							\
	sbm_guest_bug(__FILE__, __LINE__);		\
	__sbm_give_up();				\
} while (0)

#define BUG_ON(condition)				\
do {							\
	if (unlikely(condition))			\
		BUG();					\
} while (0)

#define panic(fmt, ...)					\
do {							\
	sbm_guest_printk(fmt "\n", ##__VA_ARGS__);	\
	BUG();						\
} while (0)

#define WARN_ON(condition)				\
({							\
	bool __sbm_warn = !!(condition);		\
							\
	if (unlikely(__sbm_warn))			\
		sbm_guest_warn(__FILE__, __LINE__);	\
	unlikely(__sbm_warn);				\
})

#define WARN(condition, fmt, ...)			\
({							\
	bool __sbm_warn2 = WARN_ON(condition);		\
							\
	if (unlikely(__sbm_warn2))			\
		sbm_guest_printk_level(4, fmt, ##__VA_ARGS__); \
	unlikely(__sbm_warn2);				\
})

#define WARN_ON_ONCE(condition)		WARN_ON(condition)
#define WARN_ONCE(condition, ...)	WARN(condition, __VA_ARGS__)
#define WARN_TAINT(condition, taint, ...)	WARN(condition, __VA_ARGS__)
#define WARN_TAINT_ONCE(condition, taint, ...)	WARN(condition, __VA_ARGS__)
#define WARN_RATELIMIT(condition, ...)	WARN(condition, __VA_ARGS__)
#define VM_BUG_ON(condition)		BUG_ON(condition)
#define VM_WARN_ON(condition)		WARN_ON(condition)
#define VM_WARN_ON_ONCE(condition)	WARN_ON(condition)

#define dump_stack()			do { } while (0)

/* === What sleeps, and what may not === */

#undef might_sleep
#undef might_sleep_if
#undef might_resched
#undef might_fault
#undef cond_resched
#undef need_resched
#undef touch_softlockup_watchdog
#undef touch_nmi_watchdog
#undef spin_lock_init
#undef spin_lock
#undef spin_lock_bh
#undef spin_lock_irq
#undef spin_lock_irqsave
#undef spin_trylock
#undef spin_unlock
#undef spin_unlock_bh
#undef spin_unlock_irq
#undef spin_unlock_irqrestore
#undef mutex_init
#undef mutex_destroy
#undef mutex_lock
#undef mutex_lock_nested
#undef mutex_lock_interruptible
#undef mutex_lock_killable
#undef mutex_trylock
#undef mutex_unlock
#undef init_rwsem
#undef down_read
#undef up_read
#undef down_write
#undef up_write

/* The kernel preempts a target whenever it likes */
#define might_sleep()			do { } while (0)
#define might_sleep_if(condition)	do { (void)(condition); } while (0)
#define might_resched()			do { } while (0)
#define might_fault()			do { } while (0)
#define cond_resched()			({ 0; })
#define need_resched()			false
#define touch_softlockup_watchdog()	do { } while (0)
#define touch_nmi_watchdog()		do { } while (0)

/*
 * There is one thread inside, so locks of what is the sandbox's own do nothing. What the
 * sandbox shares with the kernel is a copy, or is not protected by such a lock.
 */
#define __sbm_lock(lock)		do { (void)(lock); } while (0)
#define __sbm_lock_flags(lock, flags)	do { (void)(lock); (flags) = 0; } while (0)
#define __sbm_unlock_flags(lock, flags)	do { (void)(lock); (void)(flags); } while (0)
#define __sbm_trylock(lock)		({ (void)(lock); 1; })
#define __sbm_lock_error(lock)		({ (void)(lock); 0; })

#define spin_lock_init(lock)			__sbm_lock(lock)
#define spin_lock(lock)				__sbm_lock(lock)
#define spin_lock_bh(lock)			__sbm_lock(lock)
#define spin_lock_irq(lock)			__sbm_lock(lock)
#define spin_lock_irqsave(lock, flags)		__sbm_lock_flags(lock, flags)
#define spin_trylock(lock)			__sbm_trylock(lock)
#define spin_unlock(lock)			__sbm_lock(lock)
#define spin_unlock_bh(lock)			__sbm_lock(lock)
#define spin_unlock_irq(lock)			__sbm_lock(lock)
#define spin_unlock_irqrestore(lock, flags)	__sbm_unlock_flags(lock, flags)
#define mutex_init(lock)			__sbm_lock(lock)
#define mutex_destroy(lock)			__sbm_lock(lock)
#define mutex_lock(lock)			__sbm_lock(lock)
#define mutex_lock_nested(lock, subclass)	__sbm_lock(lock)
#define mutex_lock_interruptible(lock)		__sbm_lock_error(lock)
#define mutex_lock_killable(lock)		__sbm_lock_error(lock)
#define mutex_trylock(lock)			__sbm_trylock(lock)
#define mutex_unlock(lock)			__sbm_lock(lock)
#define init_rwsem(lock)			__sbm_lock(lock)
#define down_read(lock)				__sbm_lock(lock)
#define up_read(lock)				__sbm_lock(lock)
#define down_write(lock)			__sbm_lock(lock)
#define up_write(lock)				__sbm_lock(lock)

/* === Parts of modules === */

#undef MODULE_INFO
#undef module_init
#undef module_exit
#undef subsys_initcall
#undef late_initcall

/* The other object of this file has them */
/* The function is there, and nobody calls it */
#define __sbm_unused(type, fn)		\
	static inline type __maybe_unused __sbm_unused_##fn(void) { return fn; }

#define MODULE_INFO(tag, info)		static_assert(1)
#define module_init(fn)		__sbm_unused(initcall_t, fn)
#define module_exit(fn)		__sbm_unused(exitcall_t, fn)
#define subsys_initcall(fn)	__sbm_unused(initcall_t, fn)
#define late_initcall(fn)	__sbm_unused(initcall_t, fn)

/* === What cannot work === */

#undef alloc_page
#undef alloc_pages
#undef __get_free_page
#undef __get_free_pages
#undef __free_page
#undef get_zeroed_page
#undef free_page
#undef free_pages
#undef kmem_cache_create
#undef kmem_cache_alloc
#undef kmem_cache_zalloc
#undef kmem_cache_free
#undef copy_from_user
#undef copy_to_user
#undef get_user
#undef put_user
#undef memdup_user
#undef schedule
#undef schedule_timeout
#undef msleep
#undef usleep_range
#undef wait_for_completion
#undef queue_work
#undef schedule_work
#undef get_random_bytes
#undef get_random_u32
#undef ktime_get
#undef ktime_get_real_seconds
#undef print_hex_dump
#undef print_hex_dump_bytes
#undef print_hex_dump_debug

/* If the compiler does not find out that the call is never made, it ends the build */
#define __sbm_no(name, result)						\
({									\
	extern void __sbm_no_##name(void)				\
	__compiletime_error(#name "() is not to be had inside a sandbox"); \
									\
	__sbm_no_##name();						\
	result;								\
})

#define alloc_page(...)			__sbm_no(alloc_page, (struct page *)NULL)
#define alloc_pages(...)		__sbm_no(alloc_pages, (struct page *)NULL)
#define __get_free_page(...)		__sbm_no(__get_free_page, 0UL)
#define __get_free_pages(...)		__sbm_no(__get_free_pages, 0UL)
#define get_zeroed_page(...)		__sbm_no(get_zeroed_page, 0UL)
#define free_page(...)			__sbm_no(free_page, (void)0)
#define free_pages(...)			__sbm_no(free_pages, (void)0)
#define __free_page(...)		__sbm_no(__free_page, (void)0)
#define kmem_cache_create(...)		__sbm_no(kmem_cache_create, (struct kmem_cache *)NULL)
#define kmem_cache_alloc(...)		__sbm_no(kmem_cache_alloc, (void *)NULL)
#define kmem_cache_zalloc(...)		__sbm_no(kmem_cache_zalloc, (void *)NULL)
#define kmem_cache_free(...)		__sbm_no(kmem_cache_free, (void)0)
#define copy_from_user(...)		__sbm_no(copy_from_user, 0UL)
#define copy_to_user(...)		__sbm_no(copy_to_user, 0UL)
#define get_user(...)			__sbm_no(get_user, 0)
#define put_user(...)			__sbm_no(put_user, 0)
#define memdup_user(...)		__sbm_no(memdup_user, (void *)NULL)
#define schedule()			__sbm_no(schedule, (void)0)
#define schedule_timeout(...)		__sbm_no(schedule_timeout, 0L)
#define msleep(...)			__sbm_no(msleep, (void)0)
#define usleep_range(...)		__sbm_no(usleep_range, (void)0)
#define wait_for_completion(...)	__sbm_no(wait_for_completion, (void)0)
#define queue_work(...)			__sbm_no(queue_work, false)
#define schedule_work(...)		__sbm_no(schedule_work, false)
#define get_random_bytes(...)		__sbm_no(get_random_bytes, (void)0)
#define get_random_u32(...)		__sbm_no(get_random_u32, 0)
#define ktime_get(...)			__sbm_no(ktime_get, (ktime_t)0)
#define ktime_get_real_seconds(...)	__sbm_no(ktime_get_real_seconds, (time64_t)0)
#define print_hex_dump(...)		__sbm_no(print_hex_dump, (void)0)
#define print_hex_dump_bytes(...)	__sbm_no(print_hex_dump_bytes, (void)0)
#define print_hex_dump_debug(...)	__sbm_no(print_hex_dump_debug, (void)0)

#endif /* _LINUX_SBM_GUEST_H */
