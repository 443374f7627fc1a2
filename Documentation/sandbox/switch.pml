/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sandbox mode on x86-64: the world switch as a state machine, for Spin.
 *
 * arch/x86/kernel/sandbox/switch.S, one step per instruction that changes something
 * that events depend on, and sbm_stay() as far as it deals with what has arrived.
 * Before each step an NMI or a machine check may come, in every order. Asserted:
 *
 *  - While the kernel's IDT is loaded, the world is the kernel's.
 *  - No frame that is still needed is overwritten, and what becomes the target's
 *    registers is a frame from ring 3 that is intact.
 *  - Each NMI that was sent is handled once; NMIs are not left blocked, and are
 *    unblocked only when the NMI stack is free.
 *  - A machine check ends the call, and its handler is told of ring 0 if and only if
 *    it has interrupted ring 0.
 *  - Ring 0 is never where it cannot be.
 *  - The way back to the kernel comes to its end, and nothing is left over.
 *
 * The comments after the places are the instructions that scripts/sbm/model looks for
 * in the object code, in this order. With -DMUTANT=n one step is wrong, and Spin must
 * find that.
 *
 * The mutants, in the order of their numbers: one stack for NMIs and other events; LIDT
 * after the first change on the way in; after an abort the tables are taken to be the
 * kernel's; LIDT before PKRU on the way out; a machine check goes back to what it has
 * interrupted; it does not count the NMI that the stub has not; it counts one that the
 * stub has; registers are copied after NMIs are delivered; one NMI is delivered, however
 * many there are.
 *
 * Left out: what no event can see (the general registers of the way in, VERW, branch
 * predictors), and interrupts on the way, since IF is clear.
 */

#ifndef MUTANT
#define MUTANT 0
#endif

/* How many may come in one run. A machine check while one is handled is a shutdown. */
#define MAX_NMIS	3
#define MAX_MCES	2
#define NR_MUTANTS	9
#define MAX_STAYS	2

/* Whose it is */
mtype = { KERNEL, SANDBOX };

/* Stacks */
#define ON_KERNEL	0
#define ON_GATE_REGS	1
#define ON_EVENT	2
#define ON_NMI		3
#define ON_MCE		4
#define IN_TARGET	5

/* Places. Those from FIRST_TEXT to LAST_TEXT are in the section of the switch. */
#define C_PREPARE	1
#define IN_SAVE		10
#define IN_LIDT		11	/* lidt */
#define WINDOW		12
#define IN_SELECTORS	12	/* selectors */
#define IN_GS		13	/* wrgsbase */
#define IN_FS		14	/* wrfsbase */
#define IN_TS		15	/* cr0 */
#define IN_PKRU		16	/* wrpkru */
#define IN_CR3		17	/* cr3 */
#define IN_CR4		18	/* cr4 */
#define IN_RSP		19	/* rsp */
#define IN_IRET		20	/* iretq */
#define WINDOW_END	21
#define OUT_SAVE_RSP	30	/* r14 */
#define OUT_CR4		31	/* cr4 */
#define OUT_CR3		32	/* cr3 */
#define OUT_RSP		33	/* rsp */
#define OUT_SELECTORS	34	/* selectors */
#define OUT_SS		35	/* ss */
#define OUT_GS		36	/* wrgsbase */
#define OUT_FS		37	/* wrfsbase */
#define OUT_SPEC_CTRL	38	/* wrmsr */
#define OUT_TS		39	/* clts */
#define OUT_PKRU	40	/* wrpkru */
#define OUT_REGS	41	/* regs */
#define OUT_LIDT	42	/* lidt */
#define OUT_UNTRAIN	43
#define OUT_RET		44	/* ret */
#define EV_PUSH		50
#define EV_REGS		51
#define EV_FLAGS	52	/* popfq */
#define EV_STATE	53	/* gate */
#define EV_CLASSIFY	54
#define NMI_STUB	60
#define NMI_PUSH	60
#define NMI_REGS	61
#define NMI_FLAGS	62	/* popfq */
#define NMI_STATE	63	/* gate */
#define NMI_COUNT	64	/* count */
#define NMI_COUNTED	65
#define NMI_CLASSIFY	65
#define NMI_RESTORE	66
#define NMI_IRET	67	/* iretq */
#define MCE_PUSH	70
#define MCE_REGS	71
#define MCE_FLAGS	72	/* popfq */
#define MCE_STATE	73	/* sidt */
#define MCE_CLASSIFY	74	/* count */
#define FIRST_TEXT	10
#define LAST_TEXT	79
#define RING3		80
#define ENTRY_TEXT	81
#define C_REGS		90
#define C_NMIS		91
#define C_CLEAR		92
#define C_DELIVER	93
#define C_MCE		94
#define C_DECIDE	95
#define C_END		99

#define IN_WINDOW(p)	((p) >= WINDOW && (p) < WINDOW_END)
#define IN_TEXT(p)	((p) >= FIRST_TEXT && (p) <= LAST_TEXT)

/* The processor */
byte pc = C_PREPARE;
mtype idt = KERNEL;
mtype cr3 = KERNEL;
mtype cr4 = KERNEL;
mtype gs = KERNEL;
mtype fs = KERNEL;
mtype ts = KERNEL;
mtype pkru = KERNEL;
mtype ss = KERNEL;
byte sp = ON_KERNEL;
bool nmi_blocked = false;
bool nmi_latched = false;
bool mce_busy = false;

/*
 * Frames: where the event has hit, and on which stack. A number tells a frame from
 * the one that has overwritten it.
 */
byte ev_pc, nmi_pc, mce_pc;
byte ev_sp, nmi_sp, mce_sp;
byte ev_gen, nmi_gen, mce_gen;
bool nmi_stack_used = false;

/* Registers of the way out: rdi, r14, and host->regs */
#define VEC_EVENT	0
#define VEC_NMI		1
#define VEC_MCE		2
byte vec, nmi_saved_vec;
bool f_syscall, f_abort, f_lost;
byte regs_on, regs_gen, host_on, host_gen;

/* The gate and the caller */
byte nmi_pending = 0;
byte nr_nmi = 0;
bool saved = false;

/* The world outside */
byte sent = 0;
byte handled = 0;
byte mces = 0;
byte stays = 0;
bool mce_from_ring0;

inline world_is_the_kernels()
{
	assert(cr3 == KERNEL && cr4 == KERNEL && gs == KERNEL && fs == KERNEL);
	assert(ts == KERNEL && pkru == KERNEL && sp == ON_KERNEL);
}

/* What ring 0 was doing says RIP alone, as LEAVE_BY_RIP has it */
inline classify(from, v)
{
	if
	:: from == RING3 -> pc = OUT_SAVE_RSP
	:: from == ENTRY_TEXT -> f_syscall = true; pc = OUT_SAVE_RSP
	:: from != RING3 && from != ENTRY_TEXT && IN_WINDOW(from) ->
		f_abort = true; pc = OUT_SAVE_RSP
	:: else -> skip
	fi;
	if
	:: pc == OUT_SAVE_RSP -> vec = v
	:: else -> skip
	fi
}

inline take_nmi()
{
	nmi_latched = false;
	if
	:: idt == KERNEL ->
		/* The kernel's handler, with a stack and an IRET of its own */
		world_is_the_kernels();
		handled++
	:: else ->
		assert(!nmi_stack_used);
		nmi_pc = pc;
		nmi_sp = sp;
		nmi_saved_vec = vec;
		nmi_gen++;
		nmi_stack_used = true;
		nmi_blocked = true;
		sp = (MUTANT == 1 -> ON_EVENT : ON_NMI);
		ev_gen = (MUTANT == 1 -> ev_gen + 1 : ev_gen);
		pc = NMI_PUSH
	fi
}

inline take_mce()
{
	mces++;
	if
	:: idt == KERNEL ->
		/* The kernel's handler comes back, or the machine is lost anyway */
		world_is_the_kernels()
	:: else ->
		mce_busy = true;
		mce_pc = pc;
		mce_sp = sp;
		mce_gen++;
		mce_from_ring0 = (pc != RING3);
		sp = ON_MCE;
		pc = MCE_PUSH
	fi
}

/* An event of the target's, or an interrupt in ring 3 */
inline take_event()
{
	ev_pc = pc;
	ev_sp = sp;
	ev_gen++;
	ss = SANDBOX;
	sp = ON_EVENT;
	pc = EV_PUSH
}

inline step()
{
	if
	/* --- sbm_stay(), before --- */
	:: pc == C_PREPARE ->
		stays++;
		f_syscall = false; f_abort = false; f_lost = false;
		assert(!nmi_blocked && nmi_pending == 0);
		pc = IN_SAVE

	/* --- The way in --- */
	:: pc == IN_SAVE -> saved = true; pc = IN_LIDT
	:: pc == IN_LIDT && MUTANT != 2 -> idt = SANDBOX; pc = IN_SELECTORS
	:: pc == IN_LIDT && MUTANT == 2 -> gs = SANDBOX; pc = IN_SELECTORS
	:: pc == IN_SELECTORS ->
		idt = SANDBOX; gs = SANDBOX; fs = SANDBOX; pc = IN_GS
	:: pc == IN_GS -> gs = SANDBOX; pc = IN_FS
	:: pc == IN_FS -> fs = SANDBOX; pc = IN_TS
	:: pc == IN_TS -> ts = SANDBOX; pc = IN_PKRU
	:: pc == IN_PKRU -> pkru = SANDBOX; pc = IN_CR3
	:: pc == IN_CR3 -> cr3 = SANDBOX; pc = IN_CR4
	:: pc == IN_CR4 -> cr4 = SANDBOX; pc = IN_RSP
	:: pc == IN_RSP -> sp = ON_GATE_REGS; pc = IN_IRET
	:: pc == IN_IRET ->
		assert(!nmi_stack_used);
		nmi_blocked = false; sp = IN_TARGET; ss = SANDBOX; pc = RING3

	/* --- Ring 3, and what SYSCALL and SYSENTER do --- */
	:: pc == RING3 -> gs = SANDBOX; take_event()
	:: pc == RING3 -> pc = ENTRY_TEXT
	:: pc == ENTRY_TEXT -> take_event()

	/* --- The way out --- */
	:: pc == OUT_SAVE_RSP ->
		regs_on = sp;
		regs_gen = (sp == ON_EVENT -> ev_gen : (sp == ON_NMI -> nmi_gen : mce_gen));
		pc = OUT_CR4
	:: pc == OUT_CR4 -> cr4 = KERNEL; pc = OUT_CR3
	:: pc == OUT_CR3 ->
		cr3 = (MUTANT == 3 && f_abort -> cr3 : KERNEL); pc = OUT_RSP
	:: pc == OUT_RSP -> assert(saved); sp = ON_KERNEL; pc = OUT_SELECTORS
	:: pc == OUT_SELECTORS ->
		gs = SANDBOX; fs = SANDBOX; pc = OUT_SS
	:: pc == OUT_SS -> ss = KERNEL; pc = OUT_GS
	:: pc == OUT_GS -> gs = KERNEL; pc = OUT_FS
	:: pc == OUT_FS -> fs = KERNEL; pc = OUT_SPEC_CTRL
	:: pc == OUT_SPEC_CTRL -> assert(gs == KERNEL); pc = OUT_TS
	:: pc == OUT_TS -> ts = KERNEL; pc = OUT_PKRU
	:: pc == OUT_PKRU && MUTANT != 4 -> pkru = KERNEL; pc = OUT_REGS
	:: pc == OUT_PKRU && MUTANT == 4 -> idt = KERNEL; pc = OUT_REGS
	:: pc == OUT_REGS ->
		pkru = KERNEL; host_on = regs_on; host_gen = regs_gen; pc = OUT_LIDT
	:: pc == OUT_LIDT -> idt = KERNEL; pc = OUT_UNTRAIN
	:: pc == OUT_UNTRAIN -> pc = OUT_RET
	:: pc == OUT_RET ->
		assert(ss == KERNEL); pc = C_REGS

	/* --- Stubs --- */
	:: pc >= EV_PUSH && pc < EV_CLASSIFY -> pc++
	:: pc == EV_CLASSIFY ->
		classify(ev_pc, VEC_EVENT);
		assert(pc == OUT_SAVE_RSP)

	:: pc >= NMI_PUSH && pc < NMI_COUNT -> pc++
	:: pc == NMI_COUNT -> nmi_pending++; pc = NMI_CLASSIFY
	:: pc == NMI_CLASSIFY ->
		classify(nmi_pc, VEC_NMI);
		if
		:: pc == OUT_SAVE_RSP -> skip
		:: else -> assert(IN_TEXT(nmi_pc)); pc = NMI_RESTORE
		fi
	:: pc == NMI_RESTORE -> pc = NMI_IRET
	:: pc == NMI_IRET ->
		pc = nmi_pc; sp = nmi_sp; vec = nmi_saved_vec;
		nmi_stack_used = false; nmi_blocked = false

	:: pc >= MCE_PUSH && pc < MCE_CLASSIFY -> pc++
	:: pc == MCE_CLASSIFY ->
		classify(mce_pc, VEC_MCE);
		if
		:: pc == OUT_SAVE_RSP -> skip
		:: pc != OUT_SAVE_RSP && MUTANT == 5 ->
			/* Back to what it has interrupted */
			pc = mce_pc; sp = mce_sp; mce_busy = false; nmi_blocked = false
		:: else ->
			assert(IN_TEXT(mce_pc));
			if
			:: mce_pc >= NMI_STUB && mce_pc < (MUTANT == 6 -> NMI_STUB : NMI_COUNTED) ->
				nmi_pending++
			:: mce_pc == NMI_COUNTED && MUTANT == 7 -> nmi_pending++
			:: else -> skip
			fi;
			f_lost = true; vec = VEC_MCE; pc = OUT_SAVE_RSP
		fi

	/* --- sbm_stay(), afterwards --- */
	:: pc == C_REGS ->
		/* An abort has no registers of the target's; a lost one has no use for them */
		if
		:: !f_abort && MUTANT != 8 -> registers_are_intact()
		:: else -> skip
		fi;
		pc = C_NMIS
	:: pc == C_NMIS -> nr_nmi = nmi_pending; pc = C_CLEAR
	:: pc == C_CLEAR -> nmi_pending = 0; pc = C_DELIVER
	:: pc == C_DELIVER && nr_nmi > 0 ->
		/* The handler's IRET */
		nr_nmi--; handled++;
		nmi_stack_used = false; nmi_blocked = false;
		pc = (MUTANT == 9 -> C_MCE : C_DELIVER)
	:: pc == C_DELIVER && nr_nmi == 0 ->
		if
		:: MUTANT == 8 && !f_abort -> registers_are_intact()
		:: else -> skip
		fi;
		pc = C_MCE
	:: pc == C_MCE ->
		if
		:: vec == VEC_MCE ->
			/* What the handler is told */
			assert(mce_busy);
			assert(mce_from_ring0 == (f_syscall || f_abort || f_lost));
			mce_busy = false
		:: else -> assert(!mce_busy)
		fi;
		pc = C_DECIDE
	:: pc == C_DECIDE ->
		assert(!nmi_blocked && nmi_pending == 0);
		saved = false;
		if
		:: vec == VEC_NMI && !f_syscall && stays < MAX_STAYS -> pc = C_PREPARE
		:: vec == VEC_EVENT && stays < MAX_STAYS -> pc = C_PREPARE
		:: else -> pc = C_END
		fi
	fi
}

/* Where the registers were put, they must still be, and come from ring 3 or SYSCALL */
inline registers_are_intact()
{
	if
	:: f_lost -> skip
	:: else ->
		assert(host_on == ON_EVENT || host_on == ON_NMI || host_on == ON_MCE);
		if
		:: host_on == ON_EVENT ->
			assert(host_gen == ev_gen);
			assert(ev_pc == RING3 || ev_pc == ENTRY_TEXT)
		:: host_on == ON_NMI ->
			/* Nothing may have unblocked NMIs since */
			assert(host_gen == nmi_gen && nmi_blocked);
			assert(nmi_pc == RING3 || nmi_pc == ENTRY_TEXT)
		:: host_on == ON_MCE ->
			assert(host_gen == mce_gen && mce_busy);
			assert(mce_pc == RING3 || mce_pc == ENTRY_TEXT)
		fi
	fi
}

active proctype cpu()
{
	do
	:: pc == C_END -> break
	:: pc != C_END ->
		atomic {
			if
			:: sent < MAX_NMIS && !nmi_latched -> nmi_latched = true; sent++
			:: true -> skip
			fi;
			if
			:: nmi_latched && !nmi_blocked -> take_nmi()
			:: mces < MAX_MCES && !mce_busy -> take_mce()
			:: !(nmi_latched && !nmi_blocked) -> step()
			fi
		}
	od;

	/* Interrupts and NMIs are on again: what waits comes now */
	atomic {
		world_is_the_kernels();
		assert(idt == KERNEL && !mce_busy);
		if
		:: nmi_latched -> take_nmi()
		:: else -> skip
		fi;
		assert(handled == sent)
	}
}
