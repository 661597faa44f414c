#!/bin/bash
# Boots Debian's kernel with nothing but control groups v2, on a root file system
# made from a folder, and runs /run-tests of it as the first process's only child.
# Software emulation: it works where there is no KVM, ten times as slow.
#
#   hack/vm.sh CACHE ROOT
#
# ROOT must hold bin/sh. What the guest prints goes to stdout; the exit code is
# that of /run-tests. The guest has no network device.
set -euo pipefail
cache=$(realpath -m "${1:?cache folder}") root=$(realpath "${2:?root folder}")
readonly modules=(virtio_pci virtio_blk ext4 overlay nf_tables nft_tproxy nft_reject_inet nft_log nft_limit nfnetlink_log)
readonly seconds=600 # a bound for the guest, whatever hangs in it

# Debian's kernel, out of its package and into the cache, not onto this machine.
kernel() {
  [ -f "$cache/kernel/.done" ] && return
  mkdir -p "$cache/kernel"
  local package
  package=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image-/ { print $2; exit }')
  (cd "$cache" && apt-get download "$package" >/dev/null && dpkg-deb -x "$package"_*.deb kernel && rm -f "$package"_*.deb)
  depmod -b "$cache/kernel" "$(basename "$cache"/kernel/lib/modules/*)"
  touch "$cache/kernel/.done"
}

# A first root that loads the modules and hands over to the real one.
initrd() {
  local dir=$1 version file
  version=$(basename "$cache"/kernel/lib/modules/*)
  mkdir -p "$dir"/{bin,m,dev,proc,sys,root}
  cp "$(command -v busybox)" "$dir/bin/busybox"
  for m in "${modules[@]}"; do
    modprobe -d "$cache/kernel" -S "$version" --show-depends "$m" | awk '$1 == "insmod" { print $2 }'
  done | awk '!seen[$0]++' >"$dir/list"
  while read -r file; do cp "$file" "$dir/m/"; echo "/m/$(basename "$file")"; done <"$dir/list" >"$dir/order"
  cat >"$dir/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
while read -r m; do /bin/busybox insmod "$m" || echo "vm: no module $m"; done </order
/bin/busybox mount -t ext4 /dev/vda /root || exec /bin/busybox sh
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /vm-init
INIT
  chmod +x "$dir/init"
  (cd "$dir" && find . | cpio -o -H newc --quiet)
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
kernel
initrd "$work/initrd" >"$work/initrd.img"
mkdir -p "$root"/{dev,proc,sys,run,var/lib,etc} && install -d -m 1777 "$root/tmp"
cp "$(command -v busybox)" "$root/bin/busybox"
cat >"$root/vm-init" <<'INIT'
#!/bin/busybox sh
export PATH=/usr/local/bin:/bin:/sbin:/usr/bin HOME=/
/bin/busybox --install -s /bin 2>/dev/null
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /run
mkdir -p /dev/shm
# As systemd does: controllers for everybody, and no process in the root group.
mkdir /sys/fs/cgroup/init
echo $$ >/sys/fs/cgroup/init/cgroup.procs
for c in cpu memory pids io; do echo +$c >/sys/fs/cgroup/cgroup.subtree_control; done
ip link set lo up
/run-tests
echo "vm: exit code $?"
poweroff -f
INIT
chmod +x "$root/vm-init"
size=$(($(du -sm "$root" | cut -f1) * 2 + 1024))
mke2fs -q -t ext4 -d "$root" "$work/disk.img" "${size}M"
timeout --foreground "$seconds" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 3072 -no-reboot -nographic -nic none \
  -kernel "$cache"/kernel/boot/vmlinuz-* -initrd "$work/initrd.img" -append "console=ttyS0 quiet panic=-1 rdinit=/init" \
  -drive "file=$work/disk.img,format=raw,if=virtio,cache=unsafe" </dev/null | sed -u 's/\r//g' | tee "$work/out"
code=$(sed -n 's/^vm: exit code //p' "$work/out" | tail -1)
exit "${code:-1}"
