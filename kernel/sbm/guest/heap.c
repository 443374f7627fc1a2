// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM): an allocator that runs inside.
 *
 * The heap is one range of memory, cut into chunks without gaps. Each begins with a
 * header; chunks that are free are also in a list of chunks of about the same size, and
 * no two of them are neighbours. All that the allocator knows is in the heap itself: at
 * its begin, and in the headers.
 *
 *	| struct heap | header, object, red zone | header, free | header, object ...
 *
 * To a target that is under attack this is no defence, and need not be: whatever it
 * does here, it does to itself. The checks find mistakes, so that they end the call where
 * they are made. A header is sealed by a sum of its fields and its place, so what lies
 * before an object is as good as a red zone. Behind each object are at least 8 bytes
 * which nobody may change.
 */
#include <linux/align.h>
#include <linux/bug.h>
#include <linux/build_bug.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sbm.h>
#include <linux/sbm_runtime.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "guest.h"

/* Sizes and places of chunks are multiples of it, and objects have this alignment */
#define GRAIN		16

/* The least red zone, and what is in it */
#define RED_ZONE	8
#define RED_BYTE	0xbb

/* What is in objects that were freed */
#define FREED_BYTE	0x6b

/* Lists of free chunks: list n has those of 2^n to 2^(n + 1) - 1 bytes */
#define NR_BINS		32

/* Kinds of chunks, as a part of their seals */
#define KIND_USED	0x55534544U
#define KIND_FREE	0x46524545U
/* Not a chunk any more; its free neighbour has it */
#define KIND_MERGED	0x4d524745U

#define HEAP_MAGIC	0x73626d2068656170ULL

/**
 * struct heap - state of the heap, at its begin
 * @magic: %HEAP_MAGIC, or 0: nothing was allocated yet.
 * @size:  Bytes, with this.
 * @first: Where the first chunk is. All places are counted from the begin of the heap.
 * @bins:  Where the first chunks of the lists are, 0: none.
 */
struct heap {
	u64	magic;
	u32	size;
	u32	first;
	u32	bins[NR_BINS];
};

/**
 * struct chunk - header of a chunk
 * @size: Bytes, with this.
 * @prev: Size of the chunk before it, 0: it is the first.
 * @len:  Bytes that were asked for.
 * @seal: Sum of these, its place and its kind.
 */
struct chunk {
	u32	size;
	u32	prev;
	u32	len;
	u32	seal;
};

/* The head of a free chunk */
struct free_chunk {
	struct chunk	chunk;
	u32		next;
	u32		prev;
};

#define HEADER		sizeof(struct chunk)
#define MIN_CHUNK	32

static_assert(HEADER == GRAIN);
static_assert(sizeof(struct free_chunk) <= MIN_CHUNK);
static_assert(GRAIN >= ARCH_KMALLOC_MINALIGN);

/*
 * The heap is not as it should be, and whatever would be done now could be wrong. Inside,
 * this is an illegal instruction, and ends the call.
 */
static noinline void __noreturn __cold guest_die(const char *what, unsigned long addr)
{
	guest_complain(what, addr);
	BUG();
}

static u32 place_of(const struct heap *h, const void *p)
{
	return p - (const void *)h;
}

static struct chunk *chunk_at(struct heap *h, u32 place)
{
	return (void *)h + place;
}

static struct free_chunk *free_at(struct heap *h, u32 place)
{
	return (void *)h + place;
}

static u32 seal_of(const struct heap *h, const struct chunk *c, u32 kind)
{
	u32 sum = kind;

	sum = (sum ^ place_of(h, c)) * 0x9e3779b1;
	sum = (sum ^ c->size) * 0x85ebca6b;
	sum = (sum ^ c->prev) * 0xc2b2ae35;
	sum = (sum ^ c->len) * 0x27d4eb2f;

	return sum ^ sum >> 15;
}

static void seal(const struct heap *h, struct chunk *c, u32 kind)
{
	c->seal = seal_of(h, c, kind);
}

static bool is_kind(const struct heap *h, const struct chunk *c, u32 kind)
{
	return c->seal == seal_of(h, c, kind);
}

/* Can a chunk with a header of this content be there? */
static bool fits(const struct heap *h, const struct chunk *c)
{
	u32 place = place_of(h, c);

	return c->size >= MIN_CHUNK && IS_ALIGNED(c->size, GRAIN) &&
	       c->size <= h->size - place && c->prev <= place - h->first;
}

/* The chunk behind @c, NULL if it is the last one */
static struct chunk *next_of(struct heap *h, struct chunk *c)
{
	u32 next = place_of(h, c) + c->size;

	return next < h->size ? chunk_at(h, next) : NULL;
}

/* The header at @place, which must be that of a chunk of this kind */
static struct chunk *expect(struct heap *h, u32 place, u32 kind)
{
	struct chunk *c = chunk_at(h, place);

	if (place < h->first || place > h->size - MIN_CHUNK || !IS_ALIGNED(place, GRAIN))
		guest_die("a list of the heap was overwritten, it leads to", (unsigned long)c);
	if (!is_kind(h, c, kind) || !fits(h, c))
		guest_die("the heap was overwritten at", (unsigned long)c);

	return c;
}

/* === Free chunks === */

static unsigned int bin_of(u32 size)
{
	return ilog2(size);
}

static void link_free(struct heap *h, struct chunk *c)
{
	struct free_chunk *f = (struct free_chunk *)c;
	u32 *bin = &h->bins[bin_of(c->size)];

	c->len = 0;
	seal(h, c, KIND_FREE);
	f->prev = 0;
	f->next = *bin;
	if (*bin) {
		expect(h, *bin, KIND_FREE);
		free_at(h, *bin)->prev = place_of(h, c);
	}
	*bin = place_of(h, c);
}

static void unlink_free(struct heap *h, struct chunk *c)
{
	struct free_chunk *f = (struct free_chunk *)c;

	if (f->next) {
		expect(h, f->next, KIND_FREE);
		free_at(h, f->next)->prev = f->prev;
	}
	if (f->prev) {
		expect(h, f->prev, KIND_FREE);
		free_at(h, f->prev)->next = f->next;
	} else {
		h->bins[bin_of(c->size)] = f->next;
	}
}

/* The chunk before the one behind @c is @c, as it now is */
static void tell_next(struct heap *h, struct chunk *c)
{
	struct chunk *next = next_of(h, c);
	u32 kind;

	if (!next)
		return;
	kind = is_kind(h, next, KIND_USED) ? KIND_USED : KIND_FREE;
	expect(h, place_of(h, next), kind);
	next->prev = c->size;
	seal(h, next, kind);
}

/* Have the last part of @c, from @size on, as a chunk of its own. Neither has a seal. */
static struct chunk *cut(struct heap *h, struct chunk *c, u32 size)
{
	struct chunk *rest = chunk_at(h, place_of(h, c) + size);

	rest->size = c->size - size;
	rest->prev = size;
	c->size = size;
	tell_next(h, rest);

	return rest;
}

/* Make @c, which is in no list, free, together with its free neighbours */
static void release(struct heap *h, struct chunk *c)
{
	struct chunk *next = next_of(h, c);

	if (next && is_kind(h, next, KIND_FREE)) {
		expect(h, place_of(h, next), KIND_FREE);
		unlink_free(h, next);
		seal(h, next, KIND_MERGED);
		c->size += next->size;
	}
	if (c->prev) {
		struct chunk *prev = chunk_at(h, place_of(h, c) - c->prev);

		if (is_kind(h, prev, KIND_FREE)) {
			expect(h, place_of(h, prev), KIND_FREE);
			unlink_free(h, prev);
			prev->size += c->size;
			seal(h, c, KIND_MERGED);
			c = prev;
		}
	}
	tell_next(h, c);
	link_free(h, c);
}

/* === The heap === */

static struct heap *heap_of(const struct sbm_guest_info *info)
{
	struct heap *h;
	struct chunk *c;

	if (!info || !info->heap)
		return NULL;

	h = (struct heap *)info->heap;
	if (likely(h->magic == HEAP_MAGIC)) {
		if (unlikely(h->size != info->heap_size || h->first != ALIGN(sizeof(*h), GRAIN)))
			guest_die("the heap was overwritten at", (unsigned long)h);
		return h;
	}
	if (h->magic)
		guest_die("the heap was overwritten at", (unsigned long)h);

	h->magic = HEAP_MAGIC;
	h->size = info->heap_size;
	h->first = ALIGN(sizeof(*h), GRAIN);
	c = chunk_at(h, h->first);
	c->size = h->size - h->first;
	c->prev = 0;
	link_free(h, c);

	return h;
}

/*
 * Where in the free chunk @c an object can begin that needs @need bytes with its header.
 * What is before it must be nothing, or enough for a chunk. 0: nowhere.
 */
static u32 place_in(const struct heap *h, const struct chunk *c, u32 need,
		    unsigned long align)
{
	unsigned long start = (unsigned long)c;
	unsigned long addr = ALIGN(start + HEADER, align);

	while (addr - HEADER != start && addr - HEADER - start < MIN_CHUNK)
		addr += align;
	if (addr - HEADER - start > c->size || c->size - (addr - HEADER - start) < need)
		return 0;

	return place_of(h, (void *)addr) - HEADER;
}

/* A free chunk, and the place in it */
static struct chunk *find(struct heap *h, u32 need, unsigned long align, u32 *place)
{
	unsigned int bin;
	u32 at;

	for (bin = bin_of(need); bin < NR_BINS; bin++) {
		for (at = h->bins[bin]; at; at = free_at(h, at)->next) {
			struct chunk *c = expect(h, at, KIND_FREE);

			*place = place_in(h, c, need, align);
			if (*place)
				return c;
		}
	}

	return NULL;
}

static void set_red_zone(struct chunk *c)
{
	memset((void *)c + HEADER + c->len, RED_BYTE, c->size - HEADER - c->len);
}

static void check_red_zone(const struct chunk *c)
{
	const void *zone = (const void *)c + HEADER + c->len;
	const void *bad;

	if (c->len > c->size - HEADER - RED_ZONE)
		guest_die("the heap was overwritten at", (unsigned long)c);
	bad = memchr_inv(zone, RED_BYTE, c->size - HEADER - c->len);
	if (bad)
		guest_die("something was written behind the end of an object of the heap, at",
			  (unsigned long)bad);
}

static void *allocate(size_t size, unsigned long align, gfp_t flags)
{
	struct heap *h = heap_of(guest_info());
	struct chunk *c;
	u32 need, place;
	void *p;

	if (!h || size > h->size)
		return NULL;

	need = HEADER + ALIGN(size + RED_ZONE, GRAIN);
	c = find(h, need, align, &place);
	if (!c)
		return NULL;
	unlink_free(h, c);

	if (place != place_of(h, c)) {
		struct chunk *lead = c;

		c = cut(h, lead, place - place_of(h, lead));
		link_free(h, lead);
	}
	if (c->size - need >= MIN_CHUNK)
		link_free(h, cut(h, c, need));
	c->len = size;
	seal(h, c, KIND_USED);
	set_red_zone(c);

	p = (void *)c + HEADER;
	if (flags & __GFP_ZERO)
		memset(p, 0, size);

	return p;
}

/* Have an object in a chunk that is large enough, and give back what it does not need */
static void resize(struct heap *h, struct chunk *c, u32 size)
{
	u32 need = HEADER + ALIGN(size + RED_ZONE, GRAIN);
	struct chunk *rest = NULL;

	c->len = size;
	if (c->size - need >= MIN_CHUNK)
		rest = cut(h, c, need);
	seal(h, c, KIND_USED);
	set_red_zone(c);
	if (rest)
		release(h, rest);
}

/* Whose is @addr, which is no object? */
static void __noreturn blame(struct heap *h, unsigned long addr)
{
	struct chunk *c;

	for (c = chunk_at(h, h->first); c && fits(h, c); c = next_of(h, c)) {
		unsigned long object = (unsigned long)c + HEADER;
		bool used = is_kind(h, c, KIND_USED);

		if (!used && !is_kind(h, c, KIND_FREE))
			break;
		if (addr == object && !used)
			guest_die("an object of the heap was freed twice, at", addr);
		if (addr >= object && addr < object - HEADER + c->size)
			guest_die(used ? "the middle of an object of the heap was to be freed, at" :
					 "free memory of the heap was to be freed, at",
				  addr);
	}

	guest_die("something was written before the begin of an object of the heap, at", addr);
}

/* The chunk of an object that was allocated */
static struct chunk *chunk_of(struct heap *h, const void *p)
{
	unsigned long addr = (unsigned long)p;
	unsigned long start = (unsigned long)h;
	struct chunk *c;

	if (!h || addr < start + h->first + HEADER || addr >= start + h->size)
		guest_die("what is not in the heap was to be freed, at", addr);
	if (!IS_ALIGNED(addr, GRAIN))
		blame(h, addr);

	c = (struct chunk *)(addr - HEADER);
	if (!is_kind(h, c, KIND_USED)) {
		if (is_kind(h, c, KIND_MERGED))
			guest_die("an object of the heap was freed twice, at", addr);
		blame(h, addr);
	}
	if (!fits(h, c))
		guest_die("the heap was overwritten at", (unsigned long)c);
	check_red_zone(c);

	return c;
}

int sbm_guest_check(void)
{
	struct heap *h = heap_of(guest_info());
	bool was_free = false;
	struct chunk *c;
	u32 size = 0;

	if (!h)
		return 0;

	for (c = chunk_at(h, h->first); c; c = next_of(h, c)) {
		bool used = is_kind(h, c, KIND_USED);

		if ((!used && !is_kind(h, c, KIND_FREE)) || !fits(h, c) ||
		    c->prev != size || (was_free && !used))
			guest_die("the heap was overwritten at", (unsigned long)c);
		if (used)
			check_red_zone(c);
		was_free = !used;
		size = c->size;
	}

	return 0;
}

/* === The kernel's names === */

/* The alignment that kmalloc() promises: a size's largest factor that is a power of two */
static unsigned long alignment_of(size_t size)
{
	return max_t(unsigned long, size & -size, GRAIN);
}

void *sbm_guest_kmalloc(size_t size, gfp_t flags)
{
	if (!size)
		return ZERO_SIZE_PTR;

	return allocate(size, alignment_of(size), flags);
}

void *sbm_guest_kzalloc(size_t size, gfp_t flags)
{
	return sbm_guest_kmalloc(size, flags | __GFP_ZERO);
}

void *sbm_guest_kmalloc_array(size_t n, size_t size, gfp_t flags)
{
	size_t bytes;

	if (unlikely(check_mul_overflow(n, size, &bytes)))
		return NULL;

	return sbm_guest_kmalloc(bytes, flags);
}

void *sbm_guest_kcalloc(size_t n, size_t size, gfp_t flags)
{
	return sbm_guest_kmalloc_array(n, size, flags | __GFP_ZERO);
}

void sbm_guest_kfree(const void *p)
{
	struct heap *h;
	struct chunk *c;

	if (ZERO_OR_NULL_PTR(p))
		return;

	h = heap_of(guest_info());
	c = chunk_of(h, p);
	memset((void *)p, FREED_BYTE, c->len);
	release(h, c);
}

void sbm_guest_kfree_sensitive(const void *p)
{
	/* Nothing of it is left there anyway */
	sbm_guest_kfree(p);
}

size_t sbm_guest_ksize(const void *p)
{
	if (ZERO_OR_NULL_PTR(p))
		return 0;

	return chunk_of(heap_of(guest_info()), p)->len;
}

void *sbm_guest_krealloc(const void *p, size_t size, gfp_t flags)
{
	struct heap *h;
	struct chunk *c;
	size_t old;
	void *new;

	if (!size) {
		sbm_guest_kfree(p);
		return ZERO_SIZE_PTR;
	}
	if (ZERO_OR_NULL_PTR(p))
		return sbm_guest_kmalloc(size, flags);

	h = heap_of(guest_info());
	c = chunk_of(h, p);
	old = c->len;
	/* Where it is, if that will do */
	if (size <= c->size - HEADER - RED_ZONE &&
	    IS_ALIGNED((unsigned long)p, alignment_of(size))) {
		resize(h, c, size);
		if (size > old && flags & __GFP_ZERO)
			memset((void *)p + old, 0, size - old);
		return (void *)p;
	}

	new = sbm_guest_kmalloc(size, flags);
	if (!new) {
		/* What shrinks does not fail */
		if (size > old)
			return NULL;
		resize(h, c, size);
		return (void *)p;
	}
	memcpy(new, p, min(size, old));
	sbm_guest_kfree(p);

	return new;
}

void *sbm_guest_krealloc_array(void *p, size_t n, size_t size, gfp_t flags)
{
	size_t bytes;

	if (unlikely(check_mul_overflow(n, size, &bytes)))
		return NULL;

	return sbm_guest_krealloc(p, bytes, flags);
}

void *sbm_guest_vmalloc(unsigned long size)
{
	return size ? allocate(size, PAGE_SIZE, 0) : NULL;
}

void *sbm_guest_vzalloc(unsigned long size)
{
	return size ? allocate(size, PAGE_SIZE, __GFP_ZERO) : NULL;
}

void *sbm_guest_kmemdup(const void *src, size_t len, gfp_t flags)
{
	void *p = sbm_guest_kmalloc(len, flags);

	if (p)
		memcpy(p, src, len);

	return p;
}

char *sbm_guest_kmemdup_nul(const char *s, size_t len, gfp_t flags)
{
	char *p;

	if (!s)
		return NULL;

	p = len < SIZE_MAX ? sbm_guest_kmalloc(len + 1, flags) : NULL;
	if (p) {
		memcpy(p, s, len);
		p[len] = '\0';
	}

	return p;
}

char *sbm_guest_kstrdup(const char *s, gfp_t flags)
{
	return s ? sbm_guest_kmemdup_nul(s, strlen(s), flags) : NULL;
}

char *sbm_guest_kstrndup(const char *s, size_t max, gfp_t flags)
{
	return s ? sbm_guest_kmemdup_nul(s, strnlen(s, max), flags) : NULL;
}
