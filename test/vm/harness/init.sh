#!/bin/busybox sh
# First program of the machine: loads what reaches the host's files, lays a memory file system over them, and goes on there with system.sh.
B=/bin/busybox
$B mount -t devtmpfs devtmpfs /dev
exec </dev/console >/dev/console 2>&1
$B mount -t proc proc /proc
$B mount -t sysfs sysfs /sys
for module in $($B cat /modules); do $B insmod /lib/$module; done
$B mkdir -p /control /host /memory /root
NINE=trans=virtio,version=9p2000.L,msize=512000
$B mount -t 9p -o $NINE,cache=none control /control
. /control/variables
$B date -s "@$NOW" >/dev/null
$B mount -t 9p -o ro,$NINE,cache=loose host /host
$B mount -t tmpfs -o size=75% tmpfs /memory
$B mkdir -p /memory/upper /memory/work
# udev: its files are laid into the upper layer, for the host need not have it.
$B cp -a /udev/. /memory/upper/
$B mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work overlay /root
$B mkdir -p /root/run /root/proc /root/sys /root/dev
$B mount -t tmpfs -o mode=755 tmpfs /root/run
$B mkdir -p /root/run/machine /root/run/lock
$B mount --move /control /root/run/machine
$B cp /system.sh $B /root/run/
$B mount --move /proc /root/proc
$B mount --move /sys /root/sys
$B mount --move /dev /root/dev
exec $B switch_root /root /run/busybox sh /run/system.sh
