// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM): formatted output and messages inside.
 *
 * The kernel's own vsnprintf() hashes pointers with a secret, which is data of the
 * kernel. This one has the conversions of the C language and no secret.
 */
#include <linux/ctype.h>
#include <linux/err.h>
#include <linux/hex.h>
#include <linux/kern_levels.h>
#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/sbm.h>
#include <linux/sbm_runtime.h>
#include <linux/slab.h>
#include <linux/stdarg.h>
#include <linux/string.h>

#include "guest.h"

/* Digits of the largest number, in octal */
#define MAX_DIGITS	22

/* What is more cannot be meant, and takes for ever; the kernel's function has limits, too */
#define MAX_WIDTH	((1 << 23) - 1)
#define MAX_PRECISION	((1 << 15) - 1)

/**
 * struct out - where output goes
 * @buf:  The buffer.
 * @size: Its size.
 * @len:  Bytes so far, also those for which there was no room.
 */
struct out {
	char	*buf;
	size_t	size;
	size_t	len;
};

/**
 * struct spec - a conversion
 * @left:      Pad on the right.
 * @plus:      A sign, always.
 * @space:     A space where a sign would be.
 * @hash:      With a prefix.
 * @zero:      Pad with zeroes.
 * @width:     The least width, 0 for none.
 * @precision: -1 for none.
 */
struct spec {
	bool	left;
	bool	plus;
	bool	space;
	bool	hash;
	bool	zero;
	int	width;
	int	precision;
};

static void put(struct out *out, char c)
{
	if (out->len < out->size)
		out->buf[out->len] = c;
	out->len++;
}

static void pad(struct out *out, int nr, char c)
{
	for (; nr > 0; nr--)
		put(out, c);
}

static void put_text(struct out *out, const struct spec *spec, const char *s, int len)
{
	int i;

	if (!spec->left)
		pad(out, spec->width - len, ' ');
	for (i = 0; i < len; i++)
		put(out, s[i]);
	if (spec->left)
		pad(out, spec->width - len, ' ');
}

static void put_string(struct out *out, const struct spec *spec, const char *s)
{
	size_t max = spec->precision < 0 ? INT_MAX : spec->precision;

	if (!s)
		s = "(null)";
	else if ((unsigned long)s < PAGE_SIZE || IS_ERR(s))
		s = "(efault)";
	put_text(out, spec, s, strnlen(s, max));
}

/* @prefix: sign or base, up to two characters */
static void put_number(struct out *out, const struct spec *spec, u64 val,
		       unsigned int base, bool upper, const char *prefix)
{
	int digits = 0, zeroes, len, prefix_len = strlen(prefix);
	char text[MAX_DIGITS];

	while (val) {
		u32 digit;

		val = div_u64_rem(val, base, &digit);
		text[digits++] = upper ? hex_asc_upper[digit] : hex_asc[digit];
	}

	zeroes = (spec->precision < 0 ? 1 : spec->precision) - digits;
	if (spec->precision < 0 && spec->zero && !spec->left)
		zeroes = max(zeroes, spec->width - prefix_len - digits);
	zeroes = max(zeroes, 0);
	len = prefix_len + zeroes + digits;

	if (!spec->left)
		pad(out, spec->width - len, ' ');
	while (*prefix)
		put(out, *prefix++);
	pad(out, zeroes, '0');
	while (digits)
		put(out, text[--digits]);
	if (spec->left)
		pad(out, spec->width - len, ' ');
}

static void put_signed(struct out *out, const struct spec *spec, s64 val)
{
	const char *sign = val < 0 ? "-" : spec->plus ? "+" : spec->space ? " " : "";

	put_number(out, spec, val < 0 ? -(u64)val : val, 10, false, sign);
}

/*
 * An address of the instance's own is as it is: the code inside knows it, and it means
 * nothing elsewhere. What else a pointer may hold is nobody's business. As for the
 * kernel's conversion, letters that follow belong to it.
 */
static const char *put_pointer(struct out *out, struct spec *spec, const char *fmt,
			       const void *ptr)
{
	bool error = *fmt == 'e' && IS_ERR(ptr);

	while (isalnum(*fmt))
		fmt++;
	if (error) {
		put_signed(out, spec, PTR_ERR(ptr));
	} else if (arch_sbm_inside() && arch_sbm_guest_owns((unsigned long)ptr)) {
		spec->precision = 2 * sizeof(ptr);
		put_number(out, spec, (unsigned long)ptr, 16, false, "");
	} else {
		put_text(out, spec, "(ptr)", strlen("(ptr)"));
	}

	return fmt;
}

static const char *get_flags(const char *fmt, struct spec *spec)
{
	for (;; fmt++) {
		switch (*fmt) {
		case '-':
			spec->left = true;
			break;
		case '+':
			spec->plus = true;
			break;
		case ' ':
			spec->space = true;
			break;
		case '#':
			spec->hash = true;
			break;
		case '0':
			spec->zero = true;
			break;
		default:
			return fmt;
		}
	}
}

static const char *get_int(const char *fmt, int *val)
{
	*val = 0;
	for (; isdigit(*fmt); fmt++) {
		if (*val < MAX_WIDTH)
			*val = *val * 10 + *fmt - '0';
	}

	return fmt;
}

/* Size of an argument, from its qualifier */
static const char *get_size(const char *fmt, size_t *size)
{
	*size = sizeof(int);
	switch (*fmt) {
	case 'h':
		*size = sizeof(short);
		if (*++fmt != 'h')
			return fmt;
		*size = sizeof(char);
		return fmt + 1;
	case 'l':
		*size = sizeof(long);
		if (*++fmt != 'l')
			return fmt;
		*size = sizeof(long long);
		return fmt + 1;
	case 'L':
		*size = sizeof(long long);
		return fmt + 1;
	case 'z':
	case 't':
		*size = sizeof(size_t);
		return fmt + 1;
	default:
		return fmt;
	}
}

static s64 narrow(s64 val, size_t size)
{
	switch (size) {
	case sizeof(char):
		return (signed char)val;
	case sizeof(short):
		return (short)val;
	case sizeof(int):
		return (int)val;
	default:
		return val;
	}
}

int sbm_guest_vsnprintf(char *buf, size_t size, const char *fmt, va_list args)
{
	struct out out = { .buf = buf, .size = size, };
	va_list ap;

	if (size > INT_MAX)
		return 0;

	/* The address of an argument that is an array is not that of a va_list */
	va_copy(ap, args);
	for (; *fmt; ) {
		struct spec spec = { .precision = -1, };
		const char *start = fmt;
		size_t bytes;
		s64 val;
		char c;

		if (*fmt != '%') {
			put(&out, *fmt++);
			continue;
		}

		fmt = get_flags(fmt + 1, &spec);
		if (*fmt == '*') {
			spec.width = va_arg(ap, int);
			fmt++;
			if (spec.width < 0) {
				spec.left = true;
				spec.width = -max(spec.width, -MAX_WIDTH);
			}
		} else {
			fmt = get_int(fmt, &spec.width);
		}
		if (*fmt == '.') {
			if (*++fmt == '*') {
				spec.precision = max(va_arg(ap, int), -1);
				fmt++;
			} else {
				fmt = get_int(fmt, &spec.precision);
			}
		}
		spec.width = min(spec.width, MAX_WIDTH);
		spec.precision = min(spec.precision, MAX_PRECISION);
		fmt = get_size(fmt, &bytes);

		switch (*fmt) {
		case '%':
			put(&out, *fmt++);
			continue;
		case 'c':
			c = va_arg(ap, int);
			put_text(&out, &spec, &c, 1);
			fmt++;
			continue;
		case 's':
			put_string(&out, &spec, va_arg(ap, const char *));
			fmt++;
			continue;
		case 'p':
			fmt = put_pointer(&out, &spec, fmt + 1, va_arg(ap, const void *));
			continue;
		case 'd':
		case 'i':
		case 'u':
		case 'x':
		case 'X':
		case 'o':
			break;
		default:
			/* What cannot be read makes all that follows unreadable */
			while (*start)
				put(&out, *start++);
			goto out_end;
		}

		if (bytes == sizeof(long long))
			val = va_arg(ap, long long);
		else
			val = va_arg(ap, int);
		val = narrow(val, bytes);
		switch (*fmt++) {
		case 'd':
		case 'i':
			put_signed(&out, &spec, val);
			continue;
		case 'u':
			put_number(&out, &spec, val & GENMASK_ULL(bytes * 8 - 1, 0), 10, false,
				   "");
			continue;
		case 'o':
			put_number(&out, &spec, val & GENMASK_ULL(bytes * 8 - 1, 0), 8, false,
				   spec.hash ? "0" : "");
			continue;
		case 'X':
			put_number(&out, &spec, val & GENMASK_ULL(bytes * 8 - 1, 0), 16, true,
				   spec.hash ? "0X" : "");
			continue;
		default:
			put_number(&out, &spec, val & GENMASK_ULL(bytes * 8 - 1, 0), 16, false,
				   spec.hash ? "0x" : "");
		}
	}
out_end:
	va_end(ap);
	if (size)
		buf[min(out.len, size - 1)] = '\0';

	return out.len;
}

int sbm_guest_vscnprintf(char *buf, size_t size, const char *fmt, va_list args)
{
	int len = sbm_guest_vsnprintf(buf, size, fmt, args);

	return size ? min_t(size_t, len, size - 1) : 0;
}

int sbm_guest_snprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list args;
	int len;

	va_start(args, fmt);
	len = sbm_guest_vsnprintf(buf, size, fmt, args);
	va_end(args);

	return len;
}

int sbm_guest_scnprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list args;
	int len;

	va_start(args, fmt);
	len = sbm_guest_vscnprintf(buf, size, fmt, args);
	va_end(args);

	return len;
}

int sbm_guest_sprintf(char *buf, const char *fmt, ...)
{
	va_list args;
	int len;

	va_start(args, fmt);
	len = sbm_guest_vsnprintf(buf, INT_MAX, fmt, args);
	va_end(args);

	return len;
}

char *sbm_guest_kvasprintf(gfp_t flags, const char *fmt, va_list args)
{
	va_list again;
	char *p;
	int len;

	va_copy(again, args);
	len = sbm_guest_vsnprintf(NULL, 0, fmt, again);
	va_end(again);

	p = sbm_guest_kmalloc(len + 1, flags);
	if (p)
		sbm_guest_vsnprintf(p, len + 1, fmt, args);

	return p;
}

char *sbm_guest_kasprintf(gfp_t flags, const char *fmt, ...)
{
	va_list args;
	char *p;

	va_start(args, fmt);
	p = sbm_guest_kvasprintf(flags, fmt, args);
	va_end(args);

	return p;
}

/* === Messages === */

/* @level: a digit, or 0 if the format may have one */
static __printf(2, 0) int add_message(char level, const char *fmt, va_list args)
{
	const struct sbm_guest_info *info = guest_info();
	struct sbm_guest_log *log;
	size_t room, used;
	int len;

	if (!info || !info->log)
		return 0;

	log = (struct sbm_guest_log *)info->log;
	room = info->log_size - sizeof(*log);
	used = min_t(size_t, log->used, room);

	/* It goes on with the line before, which then does not end yet */
	if (fmt[0] == KERN_SOH_ASCII && fmt[1] == 'c') {
		fmt += 2;
		if (used && log->text[used - 1] == '\n')
			used--;
	}

	/* The level, and the newline at the end */
	if (room - used < 3)
		goto out_lost;
	if (level) {
		log->text[used++] = KERN_SOH_ASCII;
		log->text[used++] = level;
	}
	len = sbm_guest_vsnprintf(log->text + used, room - used, fmt, args);
	if (len >= room - used)
		goto out_lost;
	used += len;
	if (len && log->text[used - 1] != '\n')
		log->text[used++] = '\n';
	log->used = used;

	return len;

out_lost:
	log->lost++;
	return 0;
}

int sbm_guest_vprintk(const char *fmt, va_list args)
{
	return add_message(0, fmt, args);
}

int sbm_guest_printk_level(int level, const char *fmt, ...)
{
	va_list args;
	int len;

	va_start(args, fmt);
	len = add_message('0' + level, fmt, args);
	va_end(args);

	return len;
}

int sbm_guest_printk(const char *fmt, ...)
{
	va_list args;
	int len;

	va_start(args, fmt);
	len = sbm_guest_vprintk(fmt, args);
	va_end(args);

	return len;
}

void sbm_guest_warn(const char *file, unsigned int line)
{
	sbm_guest_printk(KERN_WARNING "warning in %s, line %u\n", file, line);
}

void sbm_guest_bug(const char *file, unsigned int line)
{
	sbm_guest_printk(KERN_ERR "it has given up in %s, line %u\n", file, line);
}

void guest_complain(const char *what, unsigned long addr)
{
	sbm_guest_printk(KERN_ERR "%s %lx\n", what, addr);
	/* Nobody would print that */
	if (!arch_sbm_inside())
		sbm_runtime_complain(what, addr);
}
