/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sandbox mode (SBM): host calls, by which a target asks the kernel for something.
 *
 * For the files that define targets, and for callers that allow a host call. How to
 * write a handler is explained in Documentation/sandbox/usage.rst: all that it gets is
 * an attacker's.
 */
#ifndef _LINUX_SBM_HOST_H
#define _LINUX_SBM_HOST_H

#include <linux/array_size.h>
#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/init.h>
#include <linux/nospec.h>
#include <linux/overflow.h>
#include <linux/sbm.h>
#include <linux/string.h>
#include <linux/types.h>
#include <linux/uaccess.h>

struct module;

/*
 * An address that means something only inside of a sandbox. sparse finds whoever
 * follows it, or takes it for a pointer of the kernel's.
 */
#ifdef __CHECKER__
#define __sbm	__attribute__((noderef, address_space(__sbm)))
#else
#define __sbm
#endif

/* Most arguments that a host call can have */
#define SBM_MAX_HOSTCALL_ARGS	6

/**
 * struct sbm_hostcall - a host call
 * @name:  Its name, for reports and traces.
 * @serve: Calls the handler; @args are registers of the target's, all
 *	   %SBM_MAX_HOSTCALL_ARGS of them.
 * @owner: The module that it is part of.
 *
 * Not for callers: SBM_DEFINE_HOSTCALL() makes them. The address of this is the number
 * of the call, which the target gives. It is compared with those that are allowed, and
 * nothing else is done with it.
 */
struct sbm_hostcall {
	const char	*name;
	long		(*serve)(struct sbm *sbm, const unsigned long *args);
	struct module	*owner;
};

#ifdef CONFIG_SBM

/* Work horse of all host calls, for the target */
long __sbm_hostcall(const struct sbm_hostcall *call, const unsigned long *args);

/* Work horse of sbm_allow() */
int __sbm_allow(struct sbm *sbm, const struct sbm_hostcall *call);

/* Work horses of the copies below, which have seen to the kernel's side */
int __must_check __sbm_copy_from(struct sbm *sbm, void *dst,
				 const void __sbm *src, size_t n);
int __must_check __sbm_copy_to(struct sbm *sbm, void __sbm *dst,
			       const void *src, size_t n);
long __must_check __sbm_strncpy_from(struct sbm *sbm, char *dst,
				     const char __sbm *src, size_t n);

#else /* CONFIG_SBM */

/* Targets are called directly, so are handlers, and an address is an address */
static inline long __sbm_hostcall(const struct sbm_hostcall *call,
				  const unsigned long *args)
{
	return call->serve(NULL, args);
}

static inline int __sbm_allow(struct sbm *sbm, const struct sbm_hostcall *call)
{
	return sbm ? sbm->error : -EINVAL;
}

static inline int __must_check __sbm_copy_from(struct sbm *sbm, void *dst,
					       const void __sbm *src, size_t n)
{
	memcpy(dst, (__force const void *)src, n);
	return 0;
}

static inline int __must_check __sbm_copy_to(struct sbm *sbm, void __sbm *dst,
					     const void *src, size_t n)
{
	memcpy((__force void *)dst, src, n);
	return 0;
}

static inline long __must_check __sbm_strncpy_from(struct sbm *sbm, char *dst,
						   const char __sbm *src,
						   size_t n)
{
	long ret = n ? strscpy(dst, (__force const char *)src, n) : -E2BIG;

	if (n && ret < 0)
		dst[0] = '\0';

	return ret;
}

#endif /* CONFIG_SBM */

/**
 * sbm_copy_from() - copy something out of a sandbox
 * @sbm: The instance.
 * @dst: Where it goes.
 * @src: Where the target has it.
 * @n:	 Bytes.
 *
 * @src may point into one of the instance's buffers or the target's stack, and all of
 * it must lie there: to the byte that the buffer was made for, not to the page. The
 * page tables of the target have no part in that. Each byte is read once; what is
 * checked afterwards in @dst cannot change any more, as what the target has can: it may
 * be in a buffer of SBM_MAP_WRITABLE().
 *
 * For handlers of host calls, and for the caller between two calls.
 *
 * Without isolation, nothing is checked. With weak isolation, the stack is the task's.
 *
 * Context: Process context, by the thread that uses @sbm. May sleep.
 * Return:
 * * 0	      - success; also if @n is 0, wherever @src points to
 * * -EFAULT  - not all of it may be read by the target; @dst has not changed
 * * -EINVAL  - @sbm is NULL, or not set up
 * * -EBUSY   - another thread uses @sbm
 * * -ENOMEM  - there is no page for a part of the heap that was never touched
 * * other    - the target was stopped: the sticky error of @sbm
 */
static __always_inline int __must_check
sbm_copy_from(struct sbm *sbm, void *dst, const void __sbm *src, size_t n)
{
	if (n > SBM_MAX_BUFFER_SIZE || !check_copy_size(dst, n, false))
		return -EFAULT;

	return __sbm_copy_from(sbm, dst, src, n);
}

/**
 * sbm_copy_to() - copy something into a sandbox
 * @sbm: The instance.
 * @dst: Where the target wants it.
 * @src: What is copied.
 * @n:	 Bytes.
 *
 * As sbm_copy_from(), the other way round: the target must have the right to write all
 * of it, so buffers of SBM_COPY_IN() and SBM_MAP_READONLY() are refused.
 *
 * Make sure that @src has no padding, and nothing else that the target may not know.
 *
 * Context: As sbm_copy_from().
 * Return: see sbm_copy_from(); -EFAULT if not all of it may be written by the target,
 * then nothing has changed.
 */
static __always_inline int __must_check
sbm_copy_to(struct sbm *sbm, void __sbm *dst, const void *src, size_t n)
{
	if (n > SBM_MAX_BUFFER_SIZE || !check_copy_size(src, n, true))
		return -EFAULT;

	return __sbm_copy_to(sbm, dst, src, n);
}

/**
 * sbm_strncpy_from() - get a string out of a sandbox
 * @sbm: The instance.
 * @dst: Where it goes, at least @n bytes.
 * @src: Where the target has it.
 * @n:	 Largest size, with the zero at the end.
 *
 * Each byte is read once: what @dst holds is what was found to be a string. Bytes of @dst
 * behind the zero may be anything that the target has there. See sbm_copy_from() for
 * what can be read. Unless @n is 0, @dst is a string
 * afterwards, whatever happens: on failure, it is empty.
 *
 * Context: As sbm_copy_from().
 * Return:
 * * the length of the string, without the zero
 * * -E2BIG - it is longer than @n allows
 * * -EFAULT - it does not end within the one buffer or the stack that it begins in, or
 *   @src is in none
 * * other - as sbm_copy_from()
 */
static __always_inline long __must_check
sbm_strncpy_from(struct sbm *sbm, char *dst, const char __sbm *src, size_t n)
{
	if (n > SBM_MAX_BUFFER_SIZE || !check_copy_size(dst, n, false)) {
		dst[0] = '\0';
		return -EFAULT;
	}

	return __sbm_strncpy_from(sbm, dst, src, n);
}

/**
 * sbm_check_range() - is a part within a whole
 * @offset: Where the part begins.
 * @len:    Its length.
 * @size:   Size of the whole.
 *
 * For numbers that come out of a sandbox: no sum of them is made, so none overflows.
 *
 * Context: Any.
 * Return: true if it is.
 */
static inline bool __must_check sbm_check_range(u64 offset, u64 len, u64 size)
{
	return offset <= size && len <= size - offset;
}

/**
 * sbm_check_array() - has an array of so many elements room
 * @nr:	   Number of elements.
 * @each:  Size of each.
 * @size:  What there is room for.
 *
 * Context: Any.
 * Return: true if it has. The product then fits into 64 bits.
 */
static inline bool __must_check sbm_check_array(u64 nr, u32 each, u64 size)
{
	u64 bytes;

	return !check_mul_overflow(nr, (u64)each, &bytes) && bytes <= size;
}

/**
 * sbm_check_index() - is an index good, also for a processor that guesses
 * @index: The index, which comes out of a sandbox. When the result is false it is 0.
 * @nr:	   Number of elements of the array.
 *
 * The target can have the processor expect the index to be right. So that an array is
 * not read elsewhere even then, use only what is in @index after this.
 *
 * Context: Any.
 * Return: true if it is.
 */
static inline bool __must_check sbm_check_index(unsigned long *index,
						unsigned long nr)
{
	if (*index >= nr) {
		*index = 0;
		return false;
	}
	*index = array_index_nospec(*index, nr);

	return true;
}

/**
 * sbm_ptr() - an address of a target's, as an argument of a host call
 * @p: A pointer, which a target uses as any other.
 *
 * For targets: the other way round there is only copying.
 */
#define sbm_ptr(p)	((__force typeof(*(p)) __sbm *)(p))

/*
 * An argument that is a pointer of the kernel's is the worst that can be declared: the
 * handler would go where the attacker says. For sparse, which alone can tell.
 */
#ifdef __CHECKER__
#define __SBM_CHECK_ARG(t, a)						\
	{								\
		const volatile void __sbm *__sbm_arg __maybe_unused =	\
			__builtin_choose_expr(				\
				_Generic((t)0, bool: 1, char: 1,	\
					 signed char: 1, unsigned char: 1, \
					 short: 1, unsigned short: 1,	\
					 int: 1, unsigned int: 1,	\
					 long: 1, unsigned long: 1,	\
					 long long: 1, unsigned long long: 1, \
					 default: 0),			\
				(const volatile void __sbm *)0, (t)1UL);	\
	}
#else
#define __SBM_CHECK_ARG(t, a)
#endif

#define __SBM_WORD(t, a)	unsigned long a;
#define __SBM_WORD_OF(t, a)	(__force unsigned long)(a)
#define __SBM_COMMA_WORD(t, a)	, (__force t)__sbm_words->a

/**
 * SBM_DECLARE_HOSTCALL() - make a host call known to other files
 * @f:	 The host call.
 * @...: Type and name of each argument, as in SBM_DEFINE_HOSTCALL().
 */
#define SBM_DECLARE_HOSTCALL(f, ...)					\
	long f(__SBM_LIST(__SBM_PARAM, void, ##__VA_ARGS__));		\
	extern const struct sbm_hostcall __sbm_hostcall_##f

/**
 * SBM_DEFINE_HOSTCALL() - define something that a target can ask the kernel for
 * @f:	 Its name, for targets and for sbm_allow(). Like the name of a function that is
 *	 not static it must be unique.
 * @...: Type and name of each argument, 0 to 6 of them: type1, arg1, type2, arg2, ...
 *	 Integers, and pointers with __sbm: see sbm_copy_from(). sparse finds others.
 *
 * Stands in place of a function's head, and the body follows. It is the handler: it runs
 * in the kernel with all rights, on behalf of the caller of the target, and gets the
 * instance as @sbm besides the arguments::
 *
 *	static SBM_DEFINE_HOSTCALL(get_block, u32, nr, u8 __sbm *, buf)
 *	{
 *		u8 block[64];
 *
 *		if (!read_block(nr, block))
 *			return -EIO;
 *		return sbm_copy_to(sbm, buf, block, sizeof(block));
 *	}
 *
 * A target calls get_block(nr, sbm_ptr(buf)) like a function, and gets what the handler
 * has returned, a long. An argument is as the attacker likes it, whatever the target's
 * source says, but for its type: the rest of the register is cut off.
 *
 * The handler runs in process context with interrupts on and may sleep. The time that it
 * takes does not count against limits of the instance, so it must be bounded. A wait
 * should be killable; that a call was cancelled or a fatal signal is there ends the call
 * when the handler returns. It may use other instances. Of @sbm it may use what copies,
 * and what only looks: calls, buffers, sbm_allow(), sbm_reset() and sbm_destroy() are
 * refused.
 */
#define SBM_DEFINE_HOSTCALL(f, ...)					\
	noinline __maybe_unused						\
	long f(__SBM_LIST(__SBM_PARAM, void, ##__VA_ARGS__));		\
	extern const struct sbm_hostcall __sbm_hostcall_##f;		\
	struct __sbm_words_##f {					\
		__SBM_EACH(__SBM_WORD, ##__VA_ARGS__)			\
	};								\
	static_assert(__SBM_NARG(__VA_ARGS__) <= 2 * SBM_MAX_HOSTCALL_ARGS); \
	static long __sbm_handler_##f(struct sbm *sbm			\
			__SBM_EACH(__SBM_COMMA_PARAM, ##__VA_ARGS__));	\
	static long __sbm_serve_##f(struct sbm *sbm, const unsigned long *args) \
	{								\
		const struct __sbm_words_##f *__sbm_words __maybe_unused = \
			(const void *)args;				\
									\
		__SBM_EACH(__SBM_CHECK_ARG, ##__VA_ARGS__)		\
		return __sbm_handler_##f(sbm				\
			__SBM_EACH(__SBM_COMMA_WORD, ##__VA_ARGS__));	\
	}								\
	const struct sbm_hostcall __sbm_hostcall_##f = {		\
		.name	= #f,						\
		.serve	= __sbm_serve_##f,				\
		.owner	= THIS_MODULE,					\
	};								\
	noinline long f(__SBM_LIST(__SBM_PARAM, void, ##__VA_ARGS__))	\
	{								\
		const unsigned long __sbm_args[SBM_MAX_HOSTCALL_ARGS] = {	\
			__SBM_LIST(__SBM_WORD_OF, 0, ##__VA_ARGS__)	\
		};							\
									\
		return __sbm_hostcall(&__sbm_hostcall_##f, __sbm_args);	\
	}								\
	static long __sbm_handler_##f(struct sbm *sbm			\
			__SBM_EACH(__SBM_COMMA_PARAM, ##__VA_ARGS__))

/**
 * sbm_allow() - let targets in an instance make a host call
 * @sbm: The instance.
 * @f:	 A host call of SBM_DEFINE_HOSTCALL(), or made known by SBM_DECLARE_HOSTCALL().
 *
 * No host call is allowed otherwise: a target that makes one is stopped with -EFAULT,
 * and the cause is %SBM_CAUSE_HOSTCALL. It stays allowed until sbm_reset() or
 * sbm_destroy(), and its module cannot be unloaded before. To allow it twice is fine.
 *
 * As for buffers, an error is also kept in @sbm, but -EBUSY.
 *
 * Context: Process context, may sleep. Interrupts enabled.
 * Return:
 * * 0	      - success
 * * -EINVAL  - @sbm is NULL or not set up, or interrupts are disabled
 * * -EBUSY   - @sbm is in use
 * * -ENOENT  - the module of @f is being unloaded
 * * -ENOMEM  - out of memory
 * * other    - the sticky error of @sbm
 */
#define sbm_allow(sbm, f)	__sbm_allow(sbm, &__sbm_hostcall_##f)

#endif /* _LINUX_SBM_HOST_H */
