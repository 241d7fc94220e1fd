# Second program of the machine, still process 1: devices, modules on demand, udev; then the command of the host, and the end.
B=/run/busybox
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
. /run/machine/variables
$B mkdir -p /dev/pts /dev/shm
$B mount -t devpts -o mode=600,ptmxmode=666 devpts /dev/pts
$B mount -t tmpfs tmpfs /dev/shm
$B ln -sf /proc/self/fd /dev/fd
kernel=$($B uname -r)
$B mkdir -p /lib/modules/$kernel
$B mount --bind $MODULES/lib/modules/$kernel /lib/modules/$kernel
# The kernel loads file systems and targets of device-mapper through it.
[ -e /sbin/modprobe ] || $B ln -s $B /sbin/modprobe
/sbin/modprobe -a loop dm-mod
$B ln -sf /proc/self/mounts /etc/mtab
$B hostname machine
$B ip link set lo up
/lib/systemd/systemd-udevd --daemon
udevadm trigger --type=devices --action=add --subsystem-match=block --subsystem-match=misc
udevadm settle --timeout=30
cd "$FOLDER"
$B sh /run/machine/command </dev/null >/run/machine/output 2>&1
echo $? >/run/machine/status
$B sync
$B poweroff -f
