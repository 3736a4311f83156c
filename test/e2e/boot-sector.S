/*
 * A boot sector that uses the disk it came from through the firmware alone (INT 13h with
 * extensions): reads 16 sectors, says on the debug console what is in them, writes them behind
 * themselves and ends QEMU, with 1 if all went well.
 */
	.code16
	.set	FIRST, 8		/* sector */
	.set	COUNT, 16
	.set	BUFFER, 0x8000
	.set	DEBUG_CONSOLE, 0xe9
	.set	DEBUG_EXIT, 0xf4

	.globl	_start
_start:
	cli
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movw	$0x7c00, %sp
	sti
	cld

	movw	$packet, %si
	movb	$0x42, %ah		/* extended read; the drive is in %dl */
	int	$0x13
	jc	failed

	movw	$BUFFER, %si
	movw	$(COUNT * 512), %cx
1:	lodsb
	outb	%al, $DEBUG_CONSOLE
	loop	1b

	addb	$COUNT, packet + 8
	movw	$packet, %si
	movw	$0x4300, %ax		/* extended write */
	int	$0x13
	jc	failed

	xorb	%al, %al
	outb	%al, $DEBUG_EXIT
failed:
	movb	$1, %al
	outb	%al, $DEBUG_EXIT
	hlt

packet:
	.byte	16, 0
	.word	COUNT
	.word	BUFFER, 0
	.quad	FIRST

	.org	510
	.word	0xaa55
