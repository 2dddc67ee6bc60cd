# The first process of a node's namespaces. Nothing of what it changes can be
# seen outside, and all of it goes when it ends.
set -eu
folder=$1
# Between kubelet and runtime: volumes that one mounts the other passes on.
mount --make-rshared /
mount -t tmpfs tmpfs /run
# Folders of the kubelet and the runtime whose names cannot be chosen.
mount -t overlay overlay -o "lowerdir=/var,upperdir=$folder/var/upper,workdir=$folder/var/work" /var
# The kubelet writes these, and they are the whole machine's.
for name in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops \
  kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
  copy=/run/sysctl/$name
  mkdir -p "${copy%/*}"
  cat "/proc/sys/$name" >"$copy"
  mount --bind "$copy" "/proc/sys/$name"
done
echo ready
# As any first process it takes in orphans, which `wait` does.
sleep infinity &
wait
