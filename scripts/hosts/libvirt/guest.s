# A guest in one sector. It says on its first serial port what two sectors of its disk hold, the second and the one at 8 MiB, then counts: a number
# goes into the one, and when it is there into the other, about twice in a second. So whoever has its disk as it was at one moment finds both
# the same, or the first ahead by one. Made into guest.hex by:
#
#   as --32 guest.s -o guest.o && ld -m elf_i386 --oformat binary -Ttext 0x7c00 guest.o -o guest.bin && xxd -p guest.bin
.code16
.globl _start
_start:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $0x7c00, %sp
    sti
    cld
    movb %dl, drive
    movw $first, %si
    movb $0x42, %ah
    call disk
    movw $last, %si
    movb $0x42, %ah
    call disk
    movw $hello, %si
    call print
    movl 0x8000, %eax
    call number
    movl 0x8200, %eax
    call number
    movw $end, %si
    call print
    # Both sectors are written from where the first was read to.
    movw $0x8000, last + 4

count:
    movw $9, %cx
1:  hlt
    loop 1b
    incl 0x8000
    movw $first, %si
    movb $0x43, %ah
    call disk
    movw $last, %si
    movb $0x43, %ah
    call disk
    jmp count

disk:
    movb drive, %dl
    xorb %al, %al
    int $0x13
    jc failed
    ret

failed:
    movw $bad, %si
    call print
2:  hlt
    jmp 2b

# The number in eax, and a blank before it.
number:
    movl %eax, %ebx
    movb $' ', %al
    call put
    movw $8, %cx
3:  roll $4, %ebx
    movb %bl, %al
    andb $0x0f, %al
    cmpb $10, %al
    sbbb $0x69, %al
    das
    call put
    loop 3b
    ret

print:
    lodsb
    testb %al, %al
    jz 4f
    call put
    jmp print
4:  ret

put:
    pushw %ax
    movw $0x3fd, %dx
5:  inb %dx, %al
    testb $0x20, %al
    jz 5b
    popw %ax
    movw $0x3f8, %dx
    outb %al, %dx
    ret

drive: .byte 0
hello: .asciz "\nguest: its disk has"
end:   .asciz ", it counts\n"
bad:   .asciz "guest: its disk failed\n"
first: .byte 16, 0
       .word 1, 0x8000, 0
       .quad 1
last:  .byte 16, 0
       .word 1, 0x8200, 0
       .quad 16384
.org 510
       .word 0xaa55
