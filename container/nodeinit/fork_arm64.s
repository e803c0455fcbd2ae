#include "textflag.h"

// func vfork() (pid, errno uintptr)
//
// clone(CLONE_VM|CLONE_VFORK|SIGCHLD). The child uses the same stack first. The return address is in a register, which the kernel
// keeps for the parent.
TEXT ·vfork(SB),NOSPLIT|NOFRAME,$0-16
	MOVD	$0x4111, R0
	MOVD	$0, R1
	MOVD	$0, R2
	MOVD	$0, R3
	MOVD	$0, R4
	MOVD	$220, R8
	SVC
	CMN	$4095, R0
	BCC	ok
	NEG	R0, R0
	MOVD	ZR, pid+0(FP)
	MOVD	R0, errno+8(FP)
	RET
ok:
	MOVD	R0, pid+0(FP)
	MOVD	ZR, errno+8(FP)
	RET

// func cloneBelow(top uintptr, l *launch) (pid, errno uintptr)
TEXT ·cloneBelow(SB),NOSPLIT,$0-32
	MOVD	$0x111, R0 // CLONE_VM|SIGCHLD
	MOVD	top+0(FP), R1
	MOVD	l+8(FP), R19
	MOVD	$0, R2
	MOVD	$0, R3
	MOVD	$0, R4
	MOVD	$0, R5
	MOVD	$220, R8
	SVC
	CMN	$4095, R0
	BCC	ok
	NEG	R0, R0
	MOVD	ZR, pid+16(FP)
	MOVD	R0, errno+24(FP)
	RET
ok:
	CBZ	R0, child
	MOVD	R0, pid+16(FP)
	MOVD	ZR, errno+24(FP)
	RET
child:
	SUB	$32, RSP
	MOVD	R19, 8(RSP)
	CALL	·between(SB)
	BRK
